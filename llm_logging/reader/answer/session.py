"""One question in one database: load, fold, select, price.

    Plan ─open_sources─> files ─load─> lines ─fold─> requests ─select─> asked ─price─> priced ─aggregate─> result

`sql/tables.py` lists the tables. Each step is one method and reads what the step before made. Caching is around the steps:
`segments/piece_cache.py` around load, `pricing/rate_cache.py` around price, `partial_sums.py` and `results_cache.py` around
aggregate. `run_session` runs a question, and once more without pieces where something of the cache is damaged or vanishes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from ...errors import ErrorCode, FileSystemError
from ...files.layout import LogKind
from ..lines.duckdb_engine import connect, duckdb_error, duckdb_module
from ..lines.log_files import Sources, open_sources
from ..pricing.rate_cache import RateCache
from ..pricing.rates import list_version, resolve_rates
from ..segments.loader import Loaded, Loader
from ..segments.piece_cache import PieceCache
from ..sql.cost_filter import keep_by_cost
from ..sql.costs import Costs, kinds_asked, kinds_in, price_asked
from ..sql.fold import Folded, fold_lines
from ..sql.selection import select
from .plan import Plan
from .scope_check import require_scope

__all__ = ["Session", "open_plan", "open_session", "run_session"]

T = TypeVar("T")


class Session:
    """A question in its database.

    Args:
        plan: What is asked.
        sources: Its files, open.
        pieces: The cache of parsed segments; None: every line is parsed.

    Attributes:
        db: Holds `requests`, `asked` and `priced`, once they are made.
        loaded: What `load` found besides rows.
        folded: What `fold` joined.
        asked: Identifies the rows of `asked` among all questions about the same lines; see `selection.select`.
        costs: How `price` priced them.
    """

    def __init__(self, plan: Plan, sources: Sources, pieces: PieceCache | None = None) -> None:
        self.plan, self.sources, self.pieces = plan, sources, pieces
        self.loaded, self.folded, self.asked, self.costs = Loaded(), Folded(0, 0), "", Costs(6)
        with ExitStack() as meanwhile:
            if pieces is not None:
                meanwhile.enter_context(pieces.checked())
            self.db = connect()

    def load(self) -> None:
        """Make `lines` of the files; with `strict`, refuse what cannot be used."""
        loader = Loader(self.db, self.sources.logs, self.plan.selection.extra, self.plan.progress)
        pieces = self.pieces
        self.loaded = loader.load(self.sources.files) if pieces is None else pieces.load(loader)
        if self.plan.selection.options.strict:
            self._refuse_unusable()

    def fold(self) -> None:
        """Make `requests` of the lines."""
        self.folded = fold_lines(self.db, extra=self.plan.selection.extra)

    def select(self) -> None:
        """Make `asked` of the requests in question; refuse a project or chat that does not exist."""
        self.asked = select(self.db, "requests", self.plan.selection)
        require_scope(self.db, self.plan.selection.scope, self.sources)

    def price(self) -> None:
        """Make `priced` of the requests in question."""
        kinds = self.loaded.kinds
        if self.folded.lines or self.folded.duplicates:
            # Folding combines fields that no single line has together.
            kinds = kinds | set(kinds_in(self.db, "hot_called"))
        chosen = self.plan.selection
        if chosen.repriced:
            kinds = set(kinds_asked(self.db))
        find_rates = resolve_rates if self.plan.cache is None else RateCache(self.plan.cache)
        self.costs = price_asked(self.db, self.plan.overrides, kinds, find_rates)
        if chosen.costs:
            keep_by_cost(self.db, chosen.costs, self.costs.scale)
            # Which requests fit depends on the prices too.
            self.asked += repr((chosen.costs, list_version(), self.plan.overrides))

    def run(self) -> None:
        """Do all four steps."""
        for step in (self.load, self.fold, self.select, self.price):
            step()

    def _refuse_unusable(self) -> None:
        for name, parsed in self.loaded.parsed:
            found = parsed.skipped + parsed.invalid
            reasons = [f"{count} x {reason}" for reason, count in found.items()]
            reasons += [parsed.error] if parsed.error else []
            if reasons:
                raise FileSystemError(
                    f"{name}: expected only whole lines with usable values, got {', '.join(reasons)}",
                    code=ErrorCode.LOG_PARSE_ERROR,
                    filename=name,
                )


def open_plan(plan: Plan, stack: ExitStack) -> Sources:
    """Open the files that a question is about."""
    return open_sources(plan.layout, plan.files, plan.selection.scope, [LogKind.REQUESTS], stack)


def run_session(plan: Plan, sources: Sources, stack: ExitStack, use: Callable[[Session], T]) -> T:
    """Run a question and return what `use` makes of its session, which stays open as long as the stack.

    Where the database fails on something of the cache, all is done once more from the lines themselves.
    """
    # Pieces hold no other columns than the held ones.
    if plan.cache is not None and not plan.selection.extra:
        pieces = PieceCache(plan.cache, sources.files)
        session = Session(plan, sources, pieces)
        stack.callback(session.db.close)
        try:
            session.run()
            return use(session)
        except duckdb_module().OutOfMemoryException:
            raise
        except duckdb_error():
            pieces.forget()
            session.db.close()
    session = Session(plan, sources)
    stack.callback(session.db.close)
    session.run()
    return use(session)


def open_session(plan: Plan, stack: ExitStack) -> Session:
    """Run a question and return its session, which stays open as long as the stack."""
    return run_session(plan, open_plan(plan, stack), stack, lambda session: session)
