"""When a writer looks for rings of other processes, and when it replaces its own.

It looks when it starts, every few seconds while it runs, and when it ends: a parent process ends after its children, so it finds
the lines of children that were just terminated. The recovery itself is in `recovery`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ...files.spool.discovery import dead_rings_exist, dying_owner_exists
from ...runtime.threads import pause
from .drain import Drain
from .file_pool import OpenFiles
from .line_buffer import Spool
from .options import WriterStats
from .recovery import RecoveryReport, adopt, recover
from .rotating_file import LockHeldError

__all__ = ["Recoverer"]

_LOOK_SECONDS: Final = 4.5
_ORPHAN_SECONDS: Final = 60.0
# How long the end of a process waits for others that were killed a moment ago, and how often it looks.
_DYING_SECONDS, _DYING_POLL = 0.5, 0.002


class Recoverer:
    """Write what processes that ended left in their rings.

    Args:
        root: Whose rings.
        drain: Keeps others from writing meanwhile.
        files: Where lines go.
        stats: What is counted.
        notice: Takes what is to be logged: event type, message, data.
        tell: Takes what is to be said on standard error: topic, text.
    """

    def __init__(
        self,
        root: Path,
        drain: Drain,
        files: OpenFiles,
        stats: WriterStats,
        *,
        notice: Callable[[str, str, dict[str, Any]], None],
        tell: Callable[[str, str], None],
    ) -> None:
        self._root = root
        self._drain = drain
        self._files = files
        self._stats = stats
        self._notice = notice
        self._tell = tell
        self._looked = self._looked_for_orphans = 0.0

    def look(self, spool: Spool | None = None) -> None:
        """Write what killed processes left, unless it was looked for a moment ago.

        Args:
            spool: The writer thread's own, which is looked after as well, as are rings of other roots.
        """
        now = time.monotonic()
        if self._looked and now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        self._recover(-1)
        if spool is None:
            return
        try:
            spool.renew()
            if not self._looked_for_orphans or now - self._looked_for_orphans >= _ORPHAN_SECONDS:
                self._looked_for_orphans = now
                adopt(self._root)
        except OSError as error:
            self._tell("recovery", f"rings of ended processes cannot be looked after: {error}")

    def look_for_ended(self) -> None:
        """Write what killed processes left, also those that are about to end."""
        until = time.monotonic() + _DYING_SECONDS
        while True:
            dying = dying_owner_exists(self._root)
            if dead_rings_exist(self._root):
                self._recover(_DYING_SECONDS)
            if not dying or time.monotonic() >= until:
                return
            pause(_DYING_POLL)

    def _recover(self, seconds: float) -> None:
        """Write what dead rings hold; wait for another that drains at most `seconds`."""
        reports: list[RecoveryReport] = []
        try:
            self._drain.alone(seconds, lambda: reports.append(recover(self._root, self._files.append)))
        except OSError as error:
            self._tell("recovery", f"the spool of a killed process cannot be read: {error}")
        for report in reports:
            self._say(report)

    def _say(self, report: RecoveryReport) -> None:
        # A lock that another process holds is free again at the next look.
        failed = [error for error in report.failed if not isinstance(error, LockHeldError)]
        if failed:
            self._tell("recovery", f"lines of a killed process cannot be written yet: {failed[0]}")
        if report.lines:
            self._stats.recovered += report.lines
            self._notice(
                "spool_recovered",
                f"{report.lines} lines of {report.rings} killed processes were written",
                {"lines": report.lines, "rings": report.rings, "present": report.present},
            )
