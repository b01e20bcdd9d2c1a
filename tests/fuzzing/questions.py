"""Cases that ask with filters: what a filter lets through is what plain Python says, and no text of it is ever run.

The requests are known, one line each; a filter's meaning is written down here a second time, in Python.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from llm_logging import StatsOptions, StatsScope
from llm_logging.errors import ValidationError
from llm_logging.reader.answer.plan import Reading, make_plan
from llm_logging.reader.answer.session import open_plan, run_session
from llm_logging.reader.entries import get_llm_request_logs
from llm_logging.reader.sql.period import resolve_period
from llm_logging.reader.sql.selection import make_selection, select
from llm_logging.reader.stats import get_stats
from tests.fuzzing.logs import asked, hold
from tests.fuzzing.roots import NOW

_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

INJECTED = (
    "'; DROP TABLE requests; --", '"; DROP TABLE requests; --', "' OR '1'='1", '" OR 1=1 --', "1) OR (1=1", "x') UNION SELECT 1 --",
    "'; COPY (SELECT 1) TO '{canary}'; --", '"; COPY (SELECT 42) TO \'{canary}\'; --', "'||(SELECT content FROM read_text('/etc/hostname'))||'",
    "read_csv('/etc/passwd')", "getvariable('bound_0')", "?", "$1", "{{0}}", "%s", "'", '"', "''", "\\", "\\'", ";", "--", "/*", "*/",
    "'; ATTACH '{canary}' AS x; --", "'; INSTALL httpfs; LOAD httpfs; --", "'; SET VARIABLE bound_0 = 1; --", "E'\\x41'", "$$x$$",
    "chr(39)", "\x00", "\x1a", "\u2028", "\ud800", "\uff07", "\u02bc", "a\nb", "[", "[[]", "[a-z]", "*" * 40, "?" * 40, "*?*?*?*?*?b",
    "x" * 5000, "NaN", "-inf", "1e400", "1e-400", "9" * 400, "1_0", "٣", " 7 ", "0x10", "+7", "-0", "7.0", "7e0", "TRUE", "yes", "2026",
    "2026-W07", "9999-12-31", "0001-01-01", "0000-01-01", "999999999w", "99999999999d", "2026-13-01", "2026-01-15T10:30:00+99:00",
    "2026-01-15T24:00:00", "9999-W52", "0001-W01", "2026-01-15T10", "2026-01-15 10:30", "now", "today", "yesterday", "1e30", "1e9999999999999999999",
)  # fmt: skip
TEXTS = (
    "gpt-4o", "gpt-4", "claude-sonnet-4-5", "o'neil", 'a"b', "x?y", "a*b", "[x]", "é", "e\u0301", "日本", "🙂", "A", "a b", "7", "7.0",
    "true", "null", "'; DROP TABLE requests; --",
)  # fmt: skip
_NUMBERS = (0, 1, 7, 7.5, 100, 2**31, 0.1)
_TEXT_FIELDS = {
    "model": "model", "provider": "provider", "user": "user_id", "user_id": "user_id", "project": "project_id",
    "chat_id": "chat_id", "status": "status", "operation": "operation", "error.code": "error.code", "error": "error.code",
    "response_model": "response_model", "prompt_name": "prompt_name",
}  # fmt: skip
_NUMBER_FIELDS = {
    "usage.prompt_tokens": "usage.prompt_tokens", "completion_tokens": "usage.completion_tokens", "attempt": "attempt",
    "latency_ms": "timings.latency_ms", "http_status": "http_status", "cost.amount": "cost.amount",
}  # fmt: skip
_ATTRIBUTES = ("tenant", "n", "deep.er", "o'k", 'q"t', "w?t", "a_b", "a.b", "~/x")
_OPS = ("=", "!=", "<", "<=", ">", ">=", "~", "!~")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def entry(chance: random.Random, number: int) -> dict[str, Any]:
    """Return one request's line."""

    def sometimes(value: Any, share: float = 0.6) -> Any:
        return value if chance.random() < share else None

    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=chance.randrange(2000), microseconds=number)
    found: dict[str, Any] = {
        "v": 1,
        "timestamp": f"{start:%Y-%m-%dT%H:%M:%S.%fZ}",
        "event_type": "llm_request",
        "writer": {"id": "w", "seq": number + 1},
        "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "project_id": chance.choice(TEXTS),
        "chat_id": chance.choice(TEXTS),
        "model": chance.choice(TEXTS),
        "status": "success",
        "timestamp_start": f"{start:%Y-%m-%dT%H:%M:%S.%fZ}",
        "provider": sometimes(chance.choice(TEXTS)),
        "user_id": sometimes(chance.choice(TEXTS)),
        "operation": sometimes(chance.choice(TEXTS)),
        "response_model": sometimes(chance.choice(TEXTS), 0.3),
        "prompt_name": sometimes(chance.choice(TEXTS), 0.3),
        "error": sometimes({"code": chance.choice(TEXTS)}, 0.3),
        "attempt": sometimes(chance.randrange(1, 9)),
        "http_status": sometimes(chance.choice((200, 429, 500))),
        "tags": sometimes(chance.sample(TEXTS, chance.randrange(1, 4))),
        "timings": sometimes({"latency_ms": chance.choice(_NUMBERS)}),
        "usage": sometimes({"prompt_tokens": chance.choice((0, 7, 100)), "completion_tokens": 7}),
        "cost": sometimes({"amount": chance.choice(("0.1", "7", "1e-7"))}, 0.2),
        "attributes": {
            name: chance.choice((*TEXTS, *_NUMBERS, True))
            for name in chance.sample(_ATTRIBUTES, 4)
            if name not in {"deep.er", "a.b"}
        },
    }
    if chance.random() < 0.5:
        found["attributes"]["deep"] = {"er": chance.choice((*TEXTS, *_NUMBERS))}
    return {name: value for name, value in found.items() if value is not None}


def _of(line: dict[str, Any], path: str) -> Any:
    value: Any = line
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _attribute(line: dict[str, Any], name: str) -> str | None:
    held = line.get("attributes", {})
    value = held[name] if name in held else _of(held, name)
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _float(text: str) -> float | None:
    return float(text) if _JSON_NUMBER.fullmatch(text) is not None else None


def _glob(text: str | None, pattern: str) -> bool:
    return text is not None and fnmatchcase(text, pattern.replace("[", "[[]"))


def passes(line: dict[str, Any], field: str, op: str, value: str) -> bool:
    """Say whether a request passes a filter, as the README has it."""
    if field in {"tag", "tags"}:
        held = line.get("tags") or []
        if value == "" and op in {"=", "!="}:
            return ("tags" not in line) == (op == "=")
        found = any(_glob(tag, value) for tag in held) if "~" in op else value in held
        return found != op.startswith("!")
    if field in _NUMBER_FIELDS:
        have = _of(line, _NUMBER_FIELDS[field])
        if value == "" and op in {"=", "!="}:
            return (have is None) == (op == "=")
        exact = field == "cost.amount"
        wanted: Any = Decimal(value) if exact else float(Decimal(value))
        have = Decimal(have) if exact and have is not None else have
        if op in {"=", "!="}:
            return (have is not None and have == wanted) == (op == "=")
        return have is not None and _ORDER[op](have, wanted)
    text = (
        _attribute(line, field.removeprefix("attributes."))
        if field.startswith("attributes.")
        else _of(line, _TEXT_FIELDS[field])
    )
    if value == "" and op in {"=", "!="}:
        return (text is None) == (op == "=")
    if op in {"~", "!~"}:
        return _glob(text, value) != (op == "!~")
    number = _number(value) if field.startswith("attributes.") else None
    if op in {"=", "!="}:
        equal = number is not None and _JSON_NUMBER.fullmatch(value) is not None
        same = text is not None and (text == value or (equal and _float(text) == float(number or 0)))
        return same == (op == "=")
    if text is None:
        return False
    if number is not None:
        have = _float(text)
        return have is not None and _ORDER[op](have, float(number))
    return _ORDER[op](text.encode(), value.encode())


class Known:
    """Requests that are known, and the database that holds them.

    Args:
        folder: Where their file is written.
    """

    def __init__(self, folder: Path) -> None:
        chance = random.Random("known")
        self.lines = [entry(chance, number) for number in range(80)]
        self.path = folder / "known.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(
            b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in self.lines)
        )
        self.stack = ExitStack()
        everything = StatsOptions(group_by=[f"attributes.{name}" for name in _ATTRIBUTES])
        plan = make_plan(StatsScope(), everything, Reading(files=self.path, cache=False, now=NOW))
        self.made = run_session(plan, open_plan(plan, self.stack), self.stack, lambda session: session)

    def ids(self, where: list[str]) -> set[str] | None:
        """Return which requests pass filters, asked of the database that is there; None where one is refused."""
        try:
            options = StatsOptions(where=where)
            question = make_selection(StatsScope(), options, resolve_period(options, NOW), NOW)
        except ValidationError:
            return None
        select(self.made.db, "requests", question)
        return {str(row[0]) for row in self.made.db.execute("SELECT key FROM asked").fetchall()}


def _filter(chance: random.Random) -> tuple[str, str, str]:
    kind = chance.random()
    if kind < 0.4:
        field = chance.choice(list(_TEXT_FIELDS))
    elif kind < 0.6:
        field = chance.choice(list(_NUMBER_FIELDS))
    elif kind < 0.7:
        field = "tag"
    else:
        field = f"attributes.{chance.choice(_ATTRIBUTES)}"
    value = chance.choice(
        (
            *TEXTS,
            *map(str, _NUMBERS),
            *INJECTED,
            "",
            "g*",
            "*o*",
            "?",
            "*",
            "*'*",
            "a?b",
            chance.choice(TEXTS),
        )
    )
    return field, chance.choice(_OPS), value.strip()


def _meant(field: str, op: str, value: str) -> bool:
    """Say whether Python's reading of a filter is certain: the second writing leaves out what SQL alone can say."""
    if value[:1] in {"=", "~", "<", ">"}:
        return False
    if not value.isascii() and ("~" in op or any(0xD800 <= ord(char) < 0xE000 for char in value)):
        return False
    if "\x00" in value or "\\" in value:
        return False
    if field in _NUMBER_FIELDS:
        number = _number(value)
        return (
            op not in {"~", "!~"}
            and (value == "" or number is not None)
            and (number is None or abs(number) < Decimal("1e9"))
        )
    return op in {"=", "!=", "~", "!~"} or field != "tag"


def _answers(chance: random.Random, known: Known) -> None:
    chosen = [_filter(chance) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    where = [
        f"{field}{chance.choice(('', ' '))}{op}{chance.choice(('', ' '))}{value}"
        for field, op, value in chosen
    ]
    ids = asked(lambda: known.ids(where))
    if ids is None or not all(_meant(*one) for one in chosen):
        return
    expected = {line["id"] for line in known.lines if all(passes(line, *one) for one in chosen)}
    hold(ids == expected, "a filter lets through what Python says", where, ids ^ expected)


def _whole_road(chance: random.Random, known: Known, canary: Path) -> None:
    """Ask the public functions, with text that is nobody's filter."""
    field = chance.choice(
        (
            *_TEXT_FIELDS,
            "tag",
            "timestamp_start",
            "stream",
            "usage.prompt_tokens",
            "cost.amount",
            "attributes.",
            "x",
            "",
            "usage.raw",
        )
    )
    hostile = chance.choice(INJECTED).replace("{canary}", str(canary))
    if field == "attributes." or chance.random() < 0.3:
        field = f"attributes.{chance.choice((hostile, *_ATTRIBUTES))}"
    where = chance.choice(
        (
            f"{field}{chance.choice(_OPS)}{hostile}",
            hostile,
            f"{hostile}={field}",
            {field: hostile},
            f"{field}{chance.choice(('==', '=~', '<>', '!', '=!', '<=>'))}{hostile}",
        )
    )
    groups = chance.choice(
        ((), (), hostile, field, [f"attributes.{hostile}"], "day,model", ["tag", hostile], "timestamp_start")
    )
    scope = chance.choice(
        (
            lambda: None,
            lambda: StatsScope(type="project", project_id=hostile),
            lambda: StatsScope(type="chat", project_id=hostile, chat_id=hostile),
        )
    )
    moments = {name: chance.choice((None, None, hostile, "2026-01-15")) for name in ("from_date", "to_date")}
    zone = chance.choice(("UTC", "UTC", "Europe/Berlin", hostile))

    def options() -> StatsOptions:
        return StatsOptions(
            where=where, group_by=groups, time_zone=zone, fill_gaps=chance.random() < 0.2, **moments
        )

    stats = asked(lambda: get_stats(scope(), options(), files=known.path, cache=False, now=NOW))
    if stats is not None:
        hold(0 <= stats.summary.total_requests <= len(known.lines), "figures are of what is there", where)
    if chance.random() < 0.3:
        asked(
            lambda: get_llm_request_logs(
                scope(), options(), 3, chance.choice((None, hostile)), files=known.path, cache=False, now=NOW
            )
        )


def case(chance: random.Random, folder: Path, known: Known) -> str:
    """Ask with some filters.

    Args:
        chance: Decides everything.
        folder: Empty, and the current folder; stays empty.
        known: What is asked.

    Returns:
        What was done, for a report.
    """
    for _ in range(40):
        _answers(chance, known)
    _whole_road(chance, known, folder / "canary")
    hold(not list(folder.iterdir()), "no filter makes a file", list(folder.iterdir()))
    count = known.made.db.execute("SELECT count(*) FROM requests").fetchone()
    hold(count == (len(known.lines),), "no filter changes what is there", count)
    return "filters"
