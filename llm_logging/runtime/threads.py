"""Threads, locks and exclusive sections that neither gevent and eventlet nor an exception can take away.

gevent and eventlet replace the locks and threads of Python by greenlets, at any moment of a program. A greenlet that waits for
a lock of another thread blocks all others, so what is here is always the operating system's own.

A signal handler may raise between any two instructions, also between taking a lock and the `try` after it; a lock
would then stay held for ever. `Exclusive` cannot be left behind so: it runs calls inside a generator, which the interpreter lets only one
thread enter, and which an exception always leaves.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, Final

__all__ = ["BUSY", "NESTED", "Bell", "Exclusive", "Lock", "OsThread", "pause", "refuse_free_threading"]


def _original_thread_module() -> Any:
    """Return `_thread` as the interpreter made it: a fresh instance, in which nothing was replaced."""
    spec = importlib.machinery.BuiltinImporter.find_spec("_thread")
    if spec is None or spec.loader is None:  # pragma: no cover  not CPython
        import _thread

        return _thread
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_original: Final = _original_thread_module()


class Lock:
    """A lock of the operating system; as `threading.Lock`, for one holder."""

    __slots__ = ("acquire", "locked", "release")

    def __init__(self) -> None:
        lock = _original.allocate_lock()
        self.acquire: Callable[..., bool] = lock.acquire
        self.release: Callable[[], None] = lock.release
        self.locked: Callable[[], bool] = lock.locked


def pause(seconds: float) -> None:
    """Let other threads run; as `time.sleep`, which gevent and eventlet replace."""
    lock = Lock()
    lock.acquire()
    lock.acquire(timeout=seconds)


def refuse_free_threading() -> str | None:
    """Return why this interpreter cannot write logs; None where it can."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    if enabled is None or enabled():
        return None
    return (
        "expected an interpreter with its global lock, got a free-threaded build with the lock off, which is not supported "
        "yet; run it with PYTHON_GIL=1 or -X gil=1"
    )


class Bell:
    """Wake one waiting thread; rung before somebody waits, it is heard at once.

    One plain lock, held while it is silent. Ringing is one release, so a signal handler in the same thread cannot deadlock.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Ring."""
        with contextlib.suppress(RuntimeError):
            # Refused where it rings already.
            self._lock.release()

    def is_set(self) -> bool:
        """Say whether it rings."""
        return not self._lock.locked()

    def clear(self) -> None:
        """Silence it."""
        self._lock.acquire(False)

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, and silence it; say whether it rang within the bound."""
        return self._lock.acquire(timeout=max(0.0, seconds))


class OsThread:
    """A daemon thread of the operating system.

    Attributes:
        running: Whether it has begun and is not over; only the thread itself changes it.
    """

    def __init__(self, target: Callable[[], None], name: str) -> None:
        self._target = target
        self._name = name
        self._ident = 0
        self._begun = Bell()
        self._over = Lock()
        self._over.acquire()
        self.running = False

    def start(self) -> None:
        """Start it, and wait until it runs.

        Raises:
            RuntimeError: No thread can be had, or the interpreter goes down.
        """
        if threading.Lock.__module__ == "_thread":
            # So that debuggers and `threading.enumerate` know it.
            threading.Thread(target=self._main, name=self._name, daemon=True).start()
        else:
            _original.start_new_thread(self._main, ())
        self._begun.wait(1.0)

    def _main(self) -> None:
        self._ident = _original.get_ident()
        self.running = True
        self._begun.set()
        try:
            self._target()
        finally:
            self.running = False
            self._over.release()

    @property
    def here(self) -> bool:
        """Say whether the caller runs in it."""
        return bool(self._ident == _original.get_ident())

    def join(self, seconds: float) -> None:
        """Wait until it is over."""
        if self.running and self._over.acquire(timeout=max(0.0, seconds)):
            self._over.release()


class _Sentinel:
    """Why a call did not run."""


BUSY: Final = _Sentinel()
NESTED: Final = _Sentinel()

_Section = Generator[Any, tuple[Callable[..., Any], tuple[Any, ...]], None]
_FIRST_PAUSE, _LONGEST_PAUSE = 0.00002, 0.005
_FINALIZING_SECONDS = 0.5


def _section(repair: Callable[[], object] | None) -> _Section:
    call, arguments = yield None
    if repair is not None:
        with contextlib.suppress(Exception):
            repair()
    while True:
        call, arguments = yield call(*arguments)


class Exclusive:
    """Run one call at a time.

    Args:
        repair: Called inside, before the next call, when an exception has ended one: makes whole what that left half done.

    Attributes:
        section: The generator in which calls run. `section.send((call, arguments))` is the quick way in; an exception
            that it raises goes to `after`.
    """

    __slots__ = ("_repair", "_successors", "section")

    def __init__(self, repair: Callable[[], object] | None = None) -> None:
        self._repair = repair
        self._successors: dict[_Section, _Section] = {}
        self.section = _section(None)
        next(self.section)

    @property
    def running(self) -> bool:
        """Say whether a call runs now, in whichever thread."""
        return bool(self.section.gi_running)  # type: ignore[attr-defined]  # typeshed's protocol lacks it

    @property
    def here(self) -> bool:
        """Say whether the caller itself is inside, further up its stack."""
        return _is_inside(self.section)

    def run(self, call: Callable[..., Any], *arguments: Any, seconds: float = -1.0) -> Any:
        """Run a call as soon as no other runs.

        Args:
            call: What to run.
            arguments: Its arguments.
            seconds: How long to wait for others at most; -1 for as long as it takes.

        Returns:
            What it returns; BUSY where others did not end in time; NESTED where this thread is inside already.
        """
        began, nap = time.monotonic(), _FIRST_PAUSE
        while True:
            section = self.section
            try:
                return section.send((call, arguments))
            except StopIteration:
                self._succeed(section)
                continue
            except ValueError as error:
                if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
                    raise  # from inside the call
            # The generator is being executed.
            if _is_inside(section):
                return NESTED
            waited = time.monotonic() - began
            if 0 <= seconds <= waited:
                return BUSY
            if sys.is_finalizing() and waited > _FINALIZING_SECONDS:
                # A daemon thread that the interpreter has stopped for good.
                self._succeed(section)
            pause(nap)
            nap = min(nap * 1.5, _LONGEST_PAUSE)

    def call(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run a call as soon as no other thread runs one; at once where this thread is inside already.

        That is the case for a signal handler or a finaliser, which must neither wait for the code that it interrupts nor be left out.
        So a call must be whole after each of its steps.
        """
        outcome = self.run(call, *arguments)
        return call(*arguments) if outcome is NESTED else outcome

    def _succeed(self, over: _Section) -> None:
        """Put another generator in the place of one that an exception has ended; all threads take the same."""
        made = _section(self._repair)
        next(made)
        self.section = self._successors.setdefault(over, made)
        if len(self._successors) > 1000:
            self._successors.pop(next(iter(self._successors)), None)


def _is_inside(section: _Section) -> bool:
    running = section.gi_frame  # type: ignore[attr-defined]  # typeshed's protocol lacks it
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  as tracebacks do
    while frame is not None:
        if frame is running:
            return True
        frame = frame.f_back
    return False
