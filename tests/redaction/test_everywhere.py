"""Through the handler: a planted secret reaches no file and no console line, and what holds none is read back as logged."""

import contextlib
import io
import itertools
import json
import logging
import math
import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import llm_logging
from llm_logging import LLMFileHandler
from llm_logging.handler.console_formatter import LLMConsoleFormatter
from tests.redaction.corpus import named, positives

# More examples for a longer search: LLM_LOGGING_FUZZ=100.
FUZZ = int(os.environ.get("LLM_LOGGING_FUZZ", "1"))
PLANTED = [(text, secret) for _, text, secret in positives() if len(secret) > 7 and secret in text]
NAMED = [(value, secret) for _, value, secret in named()]
numbers = itertools.count()


@contextlib.contextmanager
def logged(tmp_path):
    """A logger with a handler for files and one for a console."""
    handler = LLMFileHandler(root=tmp_path, content="full")
    stream = io.StringIO()
    console = logging.StreamHandler(stream)
    console.setFormatter(LLMConsoleFormatter())
    logger = logging.getLogger(f"redaction.everywhere.{next(numbers)}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    logger.addHandler(console)

    def everything() -> str:
        handler.flush()
        files = [Path(folder) / name for folder, _, names in os.walk(tmp_path) for name in names]
        return (
            "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
            + stream.getvalue()
        )

    try:
        yield logger, everything
    finally:
        logger.removeHandler(handler)
        handler.close()


def one_of_list(items):
    return st.integers(0, len(items) - 1).map(lambda number: items[number])


def log_everywhere(logger, text, value):
    """Log a text and a value in each way there is."""
    entry = {"project_id": "p", "chat_id": "c", "model": "m"}
    logger.info("said %s", text)
    logger.info("said %(a)s", {"a": value})
    logger.info(text, extra={"project_id": "p", "note": value, "also": [text]})
    logger.info(
        "request",
        extra={
            "llm_request": {
                **entry,
                "attributes": {"x": value},
                "messages": [{"role": "user", "content": text}],
                "response": {"r": [text, value]},
            }
        },
    )
    logger.info(
        "request",
        extra={
            "llm_request": {**entry, "error": {"code": "e", "message": text}, "tags": [text], "custom": value}
        },
    )
    logger.info("request", extra={"event_type": "llm_request", **entry, "prompt": text})
    logger.info("invalid", extra={"llm_request": {"chat_id": "c", "why": text, "value": value}})
    logger.info("invalid", extra={"llm_request": {**entry, "status": text, "usage": {"prompt_tokens": text}}})
    adapter = llm_logging.LLMLoggerAdapter(logger, {"project_id": "p", "chat_id": "c"})
    adapter.log_chat_message(
        {"project_id": "p", "chat_id": "c", "role": "user", "content": text, "more": value}
    )
    adapter.log_event("thing_happened", text, value=value, text=text)
    try:
        raise ValueError(text, value)
    except ValueError as error:
        logger.exception("failed with %r", error)
        adapter.log_error(error, context={"value": value})
    logger.debug(KeyError(text), stack_info=True)


@settings(max_examples=25 * FUZZ, deadline=None)
@given(one_of_list(PLANTED), one_of_list(NAMED), st.booleans())
def test_a_planted_secret_reaches_no_file_and_no_console(tmp_path_factory, planted, by_name, nest):
    text, secret = planted
    value, hidden = by_name
    with logged(tmp_path_factory.mktemp("root")) as (logger, everything):
        log_everywhere(logger, text, [value] if nest else value)
        found = everything()
    assert secret not in found
    assert json.dumps(secret)[1:-1] not in found
    # A repr in an exception's text is text: there a name alone tells only what stands in quotes behind it.
    assert found.count(hidden) == 0


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet="abcdefghijklm .,\n\u00e9\u4e2d\u202e\x1b", max_size=40)
)
HARMLESS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet="abcdefgh", min_size=1, max_size=6), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=25 * FUZZ, deadline=None)
@given(HARMLESS)
def test_what_holds_no_secret_is_read_back_as_it_was_logged(tmp_path_factory, value):
    root = tmp_path_factory.mktemp("root")
    handler = LLMFileHandler(root=root)
    logger = logging.getLogger(f"redaction.everywhere.{next(numbers)}")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        logger.info("x", extra={"project_id": "p", "note": value})
        handler.flush()
        line = json.loads((root / "projects" / "p" / "logs" / "events.jsonl").read_text(encoding="utf-8"))
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert same(line.get("data", {}).get("note"), value)


def same(found, value):
    if isinstance(value, float):
        return isinstance(found, (int, float)) and math.isclose(found, value, rel_tol=1e-15, abs_tol=0)
    if isinstance(value, dict):
        # Absent fields are left out, never null.
        return isinstance(found, dict) and all(same(found.get(key), item) for key, item in value.items())
    if isinstance(value, list):
        return isinstance(found, list) and len(found) == len(value) and all(map(same, found, value))
    return found == value
