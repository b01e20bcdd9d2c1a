"""The requests in question, one by one: what the statistics count, before it is counted.

Takes the same steps as `stats`: parse, fold, filter; so whatever is listed or exported is exactly what is summed up.
"""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from datetime import UTC

from ..clock import clock
from ..files.layout import Layout
from ..question import StatsOptions, StatsScope
from .columns import columns, held_columns
from .costs import kinds_in, price_asked
from .fold import fold_lines
from .load import load_lines
from .overrides import find_overrides, read_overrides
from .period import resolve_period
from .query import ask, make_question
from .source import LogFile, named_logs, open_logs, scope_logs
from .stats import Answer, Reading, _check_strict, check_scope, connect, duckdb_error

__all__ = ["ask_requests"]


def ask_requests(
    scope: StatsScope,
    options: StatsOptions,
    reading: Reading,
    stack: ExitStack,
    *,
    every_field: bool = False,
    priced: bool = False,
) -> tuple[Answer, list[LogFile]]:
    """Read, fold and filter the requests of a question.

    Args:
        scope: Whose.
        options: Period and filters; groups do not matter.
        reading: Where the lines are.
        stack: Closes files and database.
        every_field: Give `requests` every field of the entry, not only those that figures need.
        priced: Also make `priced`.

    Returns:
        What is behind the answer, and the files, open.
    """
    now = (reading.now if reading.now is not None else clock().now()).astimezone(UTC)
    asked = options.model_copy(update={"group_by": (), "fill_gaps": False})
    question = make_question(scope, asked, resolve_period(asked, now), now)
    if every_field:
        held = {column.path for column in held_columns()}
        more = {column.path: column for column in columns().values() if column.path not in held}
        more.update({column.path: column for column in question.extra})
        question = dataclasses.replace(question, extra=tuple(more.values()))
    layout = Layout(reading.root)
    logs = scope_logs(scope, layout) if reading.files is None else named_logs(reading.files, stack)
    overrides = find_overrides(reading.prices) if priced else None
    db = connect()
    stack.callback(db.close)
    made = Answer(db, question, logs, layout.root if reading.files is None else None, overrides=overrides)
    opened = open_logs(logs, stack)
    try:
        _compute(made, opened, reading, use_cache=reading.cache)
    except duckdb_error():
        if not reading.cache:
            raise
        # A piece of the cache vanished or is damaged: the lines themselves have the answer.
        made.loader.forget()
        _compute(made, opened, reading, use_cache=False)
    if priced:
        own = read_overrides(overrides) if overrides is not None else []
        made.costs = price_asked(db, own, kinds_in(db, "requests"), None)
    check_scope(made, layout)
    return made, opened


def _compute(made: Answer, files: list[LogFile], reading: Reading, *, use_cache: bool) -> None:
    extra = made.question.extra
    made.loaded, made.loader = load_lines(
        made.db,
        files,
        made.logs,
        extra=extra,
        cache_dir=reading.cache_dir,
        use_cache=use_cache,
        progress=reading.progress,
    )
    _check_strict(made)
    fold_lines(made.db, extra=extra)
    ask(made.db, "requests", made.question)
