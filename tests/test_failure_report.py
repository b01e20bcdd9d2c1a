"""What standard error says of a call that could not be logged: where and what kind, never what was to be logged."""

import logging

import llm_logging
from llm_logging.failure_report import show_failure

SECRET = "sk-" + "proj-" + "Ab1" * 16


def failed(error):
    try:
        raise error from KeyError(SECRET)
    except type(error) as raised:
        return raised


def test_the_text_of_an_error_is_left_out_and_its_kinds_are_named(capsys):
    show_failure(failed(ValueError(f"got {SECRET}")))
    shown = capsys.readouterr().err
    assert SECRET not in shown
    assert "ValueError, after KeyError" in shown
    assert "in failed" in shown


def test_it_is_silent_where_logging_is(capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    show_failure(ValueError("x"))
    assert capsys.readouterr().err == ""


def test_causes_that_form_a_circle_are_named_once(capsys):
    one, other = ValueError("1"), KeyError("2")
    one.__cause__, other.__cause__ = other, one
    show_failure(one)
    assert "ValueError, after KeyError (" in capsys.readouterr().err


def test_a_filter_that_quotes_a_secret_ends_no_request_and_shows_none(capsys, llm_logs):
    class Broken(logging.Filter):
        def filter(self, record):
            raise RuntimeError(f"no {SECRET}")

    logger = logging.getLogger("app.failing")
    broken = Broken()
    logger.addFilter(broken)
    try:
        with llm_logging.get_logger("app.failing").request(model="gpt-4o") as call:
            call.finish({"usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    finally:
        logger.removeFilter(broken)
    shown = capsys.readouterr().err
    assert SECRET not in shown
    assert "RuntimeError" in shown
