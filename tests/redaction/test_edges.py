"""Where a secret could leave by another way than the values of a line: names, levels, options, complaints, cuts."""

import io
import itertools
import json
import logging
import os
from pathlib import Path

import pytest

import llm_logging
from llm_logging import LLMConsoleFormatter, LLMFileHandler, LLMJsonFormatter, LLMStreamHandler
from llm_logging.models.json_values import repr_of
from llm_logging.redaction.redactor import Redactor
from llm_logging.truncation import cut_short

SECRET = "sk" + "-proj-" + "aB3dE5gH" * 5
numbers = itertools.count()
PART = SECRET[8:20]
ENTRY = {"event_type": "llm_request", "project_id": "p", "chat_id": "c", "model": "m"}


def logger_with(handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(f"redaction.edges.{next(numbers)}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    return logger


def everything(root: Path) -> str:
    """Return the names and the contents of all files."""
    found = []
    for folder, _, names in os.walk(root):
        found += [folder, *names]
        found += [Path(folder, name).read_text(encoding="utf-8", errors="replace") for name in names]
    return "\n".join(found)


@pytest.fixture
def logged(tmp_path):
    """Return a logger, and a function that closes its handler and returns all that is on disk."""
    made = []

    def start(formatter=None, **options):
        handler = LLMFileHandler(root=tmp_path, **options)
        if formatter is not None:
            handler.setFormatter(formatter)
        logger = logger_with(handler)
        made.append(handler)
        return logger, lambda: (handler.close(), everything(tmp_path))[1]

    yield start
    for handler in made:
        handler.close()


@pytest.mark.parametrize(
    "extra",
    [
        {"project_id": SECRET},
        {**ENTRY, "project_id": SECRET},
        {**ENTRY, "project_id": SECRET, "messages": ["hello"]},
        {"event_type": "chat_message", "project_id": "p", "chat_id": SECRET, "role": "user", "content": "x"},
    ],
)
def test_an_id_that_is_a_secret_names_no_file(logged, extra):
    logger, written = logged()
    logger.info("x", extra=extra)
    text = written()
    assert PART not in text
    assert "[redacted:openai-key]" in text


def test_an_id_that_is_a_secret_names_no_file_of_a_pattern(tmp_path):
    handler = LLMFileHandler(filename=tmp_path / "{project_id}" / "{chat_id}.jsonl")
    logger = logger_with(handler)
    logger.info("x", extra={**ENTRY, "project_id": SECRET, "chat_id": SECRET})
    handler.close()
    assert PART not in everything(tmp_path)


def test_an_id_that_goes_by_its_path_names_no_file(logged):
    logger, written = logged(redact={"paths": ["project_id", "chat_id"]})
    logger.info("x", extra={**ENTRY, "project_id": "acme-secret-deal"})
    assert "acme-secret-deal" not in written()


def test_other_ids_name_their_files_as_ever(logged, tmp_path):
    logger, written = logged()
    logger.info("x", extra={**ENTRY, "project_id": "shop"})
    written()
    assert (tmp_path / "projects/shop/logs/llm_requests.jsonl").is_file()


def test_the_name_of_a_level_is_no_place_for_a_secret(logged):
    logging.addLevelName(33, f"{SECRET}\x1b[2J")
    try:
        logger, written = logged()
        stream = io.StringIO()
        console = logging.StreamHandler(stream)
        console.setFormatter(LLMConsoleFormatter())
        logger.addHandler(console)
        logger.log(33, "x")
        text = written() + stream.getvalue()
    finally:
        logging._levelToName.pop(33)
        logging._nameToLevel.pop(f"{SECRET}\x1b[2J")
    assert PART not in text
    assert "\x1b" not in stream.getvalue()


class OwnTraceback(LLMJsonFormatter):
    def formatException(self, ei):  # noqa: N802  logging's name
        return "own " + super().formatException(ei)


class OwnHook(LLMJsonFormatter):
    def process_log_record(self, log_data):
        return {**log_data, "environment": f"API_KEY={SECRET}"}


@pytest.mark.parametrize(
    "formatter",
    [
        OwnTraceback(),
        OwnHook(),
        LLMJsonFormatter("%(args)s %(msg)s %(message)s"),
        LLMJsonFormatter("%(exc_info)s %(exc_text)s"),
        LLMJsonFormatter(static_fields={"api_key": SECRET}),
        LLMJsonFormatter(defaults={"note": SECRET}),
    ],
    ids=["traceback", "hook", "args", "exc_info", "static", "defaults"],
)
def test_what_options_and_hooks_add_is_examined_too(logged, formatter):
    logger, written = logged(formatter)
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("failed %s", SECRET)
    text = written()
    assert PART not in text
    line = json.loads(next(line for line in text.splitlines() if '"logger"' in line))
    assert line["writer"]["seq"] == 1


def test_a_custom_formatter_keeps_its_number_with_every_set_asked_for(logged):
    patterns = ["credentials", "email", "phone", "card", "iban", "ip"]
    logger, written = logged(LLMJsonFormatter(static_fields={"service": "x"}), redact={"patterns": patterns})
    for _ in range(3):
        logger.info("x")
    lines = [json.loads(line) for line in written().splitlines() if '"logger"' in line]
    assert [line["writer"]["seq"] for line in lines] == [1, 2, 3]


def test_a_record_that_cannot_be_logged_is_complained_of_without_its_secrets(logged, capsys):
    logger, written = logged()
    handler = logger.handlers[0]

    def refuse(*_args, **_options):
        raise RuntimeError(f"no room for {SECRET}")

    handler._writer.put = refuse
    logger.info("said %s", SECRET)
    logger.info("%d", SECRET)
    written()
    told = capsys.readouterr().err
    assert "RuntimeError" in told
    assert "said [redacted:openai-key]" in told
    assert PART not in told


def test_a_stream_that_is_gone_is_complained_of_without_secrets(capsys):
    stream = io.StringIO()
    stream.close()
    logger = logger_with(LLMStreamHandler(stream))
    logger.info("said %s", SECRET)
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert PART not in told


def test_complaints_can_be_turned_off(logged, capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger, _ = logged()
    monkeypatch.setattr(logger.handlers[0], "_take", lambda *_: 1 / 0)
    logger.info("x")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kept", range(14, len(SECRET), 6))
def test_no_half_of_a_secret_is_left_at_a_cut(logged, kept):
    class Long:
        def __repr__(self):
            return "x" * 10 + " " * (10_000 - kept - 10) + SECRET

    logger, written = logged(content="full")
    message = {"event_type": "chat_message", "project_id": "p", "chat_id": "c", "role": "user"}
    logger.info("x", extra={**message, "content": "a " * ((1_000_000 - kept) // 2) + SECRET})
    logger.info("x", extra={"value": Long()})
    adapter = llm_logging.LLMLoggerAdapter(logger, {"project_id": "p", "chat_id": "c"})
    with pytest.raises(ValueError), adapter.request(model="m"):  # noqa: PT011  its text is what matters
        raise ValueError("a " * ((2_000 - kept) // 2) + SECRET)
    assert SECRET[:kept] not in written()


def test_cutting_short():
    assert cut_short("one two", 7) == "one two"
    assert cut_short("one two", 5) == "one "
    assert cut_short("one two", 4) == "one "
    assert cut_short("x" * 5000, 4000) == "x" * (4000 - 1536)
    assert cut_short(" " * 50, 40) == " " * 40
    assert repr_of("y" * 50_000).endswith("(50002 characters)")


WORD = "Tr0ub4dor-" + "zebra-91"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"a name with half a letter \ud800, {SECRET}", SECRET),
        (f"{SECRET} \udfff" + "x" * 500, SECRET),
        (f"\ud83d password={WORD}", WORD),
        (f"\x1b[31m{SECRET}\x1b[0m", SECRET),
        (f"\x1b[1;38;5;208m{SECRET}\x1b[m", SECRET),
        (f"\\u001b[31m{SECRET}", SECRET),
        (f"Command ['mysqldump', '--password', '{WORD}'] failed", WORD),
        (f"[db]\n  password = {WORD}\nuser = ann", WORD),
        (f"\ndb.password = {WORD}", WORD),
        (f"ALTER USER ann WITH PASSWORD '{WORD}';", WORD),
        (f"CREATE USER ann IDENTIFIED BY '{WORD}'", WORD),
        (f'CREATE USER ann IDENTIFIED WITH mysql_native_password BY "{WORD}"', WORD),
        (f"SET PASSWORD FOR 'ann'@'%' = '{WORD}'", WORD),
        (f"next=postgres%3A%2F%2Fann%3A{WORD}%40db%2Fx", WORD),
    ],
)
def test_what_was_overlooked_is_found(text, secret, logged):
    logger, written = logged()
    stream = io.StringIO()
    console = logging.StreamHandler(stream)
    console.setFormatter(LLMConsoleFormatter())
    logger.addHandler(console)
    logger.info(text)
    logger.info("said %s", text, extra={"value": [text], "project_id": "p"})
    logger.info("x", extra={**ENTRY, "operation": text, "tags": [text]})
    assert secret not in written() + stream.getvalue()


def test_the_words_of_a_command_are_found(logged):
    logger, written = logged()
    logger.info(
        "x", extra={"argv": ["mysqldump", "--password", WORD, "--user", "ann", "--token", "--verbose"]}
    )
    text = written()
    assert WORD not in text
    assert "--verbose" in text
    assert "ann" in text


@pytest.mark.parametrize(
    "text",
    [
        "password = get_password()",
        "password = settings.PASSWORD_2",
        "  token = next_token1",
        "api_key = apiKey2",
        "if password = Tr0ub4dor-zebra-91 then stop",
        "identified by 'password'",
        "[31m and then",
        "--password, --token, --verbose",
        "['--password', '$PASSWORD']",
        "https%3A%2F%2Fexample.com%3A8080%2Fa",
        "half a letter \ud800 is no secret",
    ],
)
def test_what_only_looks_alike_stays(text):
    assert Redactor().redact_text(text) == text


@pytest.mark.parametrize("times", [1, 3])
def test_a_level_that_is_a_secret_is_in_no_line_of_a_request(logged, monkeypatch, times):
    monkeypatch.setitem(logging._levelToName, 37, SECRET)
    logger, written = logged()
    for _ in range(times):
        logger.log(37, "x", extra=ENTRY)
    text = written()
    assert PART not in text
    assert text.count('"level":"[redacted:openai-key]"') == times


@pytest.mark.parametrize("field", ["tags", "touched_files", "finish_reasons"])
def test_words_of_a_command_in_a_list_of_a_request_are_told_by_their_option(logged, field):
    logger, written = logged()
    logger.info("x", extra={**ENTRY, field: ["mysql", "--password", "hunter2abc"]})
    text = written()
    assert "hunter2abc" not in text
    assert "--password" in text
