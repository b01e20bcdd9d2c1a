"""The requests in question, one by one: what the statistics count, before it is counted.

Takes the same steps as `stats` (see `answering`), so whatever is listed or exported is exactly what is summed up.
"""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack

from ..question import StatsOptions, StatsScope
from .answering import Answer, Reading, begin, compute
from .columns import columns, held_columns

__all__ = ["ask_requests"]


def ask_requests(
    scope: StatsScope,
    options: StatsOptions,
    reading: Reading,
    stack: ExitStack,
    *,
    every_field: bool = False,
) -> Answer:
    """Read, fold, filter and price the requests of a question.

    Args:
        scope: Whose.
        options: Period and filters; groups do not matter.
        reading: Where the lines are.
        stack: Closes files and database.
        every_field: Give `requests` every field of the entry, not only those that figures need.

    Returns:
        What is behind the answer; `requests`, `asked` and `priced` are in its database, its files are open.
    """
    asked = options.model_copy(update={"group_by": (), "fill_gaps": False})
    made = begin(scope, asked, reading, stack)
    if every_field:
        held = {column.path for column in held_columns()}
        more = {column.path: column for column in columns().values() if column.path not in held}
        more.update({column.path: column for column in made.question.extra})
        made.question = dataclasses.replace(made.question, extra=tuple(more.values()))
    compute(made, reading, stack)
    return made
