"""An exception that a signal raises, at every line and every instruction of logging in turn: all is whole afterwards.

`KeyboardInterrupt`, the soft time limit of a task queue and timeout decorators raise so. A tracer does it here, so each place is met.
"""

from __future__ import annotations

import sys
import threading
import time

import pytest

from llm_logging import LLMFileHandler
from llm_logging.files.spool import ring as ring_module
from llm_logging.handler.writing import drain as draining
from llm_logging.handler.writing import line_buffer as spool
from llm_logging.handler.writing import writer
from tests.processes import lines, reopen, rings


class Interrupted(BaseException):
    """What a signal handler raises."""


class Tracer:
    """Raise at the n-th instruction, or line, that is executed in some functions by this thread."""

    def __init__(self, codes, turn: int, *, opcodes: bool) -> None:
        self.codes, self.turn, self.opcodes = codes, turn, opcodes
        self.seen, self.place = 0, None

    def __call__(self, frame, event, argument):
        if frame.f_code not in self.codes:
            return None
        frame.f_trace_opcodes = self.opcodes
        return self.step

    def step(self, frame, event, argument):
        if self.place is None and event == ("opcode" if self.opcodes else "line"):
            self.seen += 1
            if self.seen == self.turn:
                self.place = f"{frame.f_code.co_qualname}:{frame.f_lineno} at {frame.f_lasti}"
                raise Interrupted
        return self.step

    def run(self, call, *arguments) -> bool:
        """Run a call; say whether it was interrupted."""
        sys.settrace(self)
        try:
            call(*arguments)
        except Interrupted:
            return True
        finally:
            sys.settrace(None)
        return False


def codes_of(*owners):
    """Return the code of all functions of classes and modules, with those inside them."""
    found = set()

    def add(code):
        found.add(code)
        for inner in code.co_consts:
            if hasattr(inner, "co_code"):
                add(inner)

    for owner in owners:
        for name, value in list(vars(owner).items()):
            if name == "__del__":
                # What a finaliser raises is swallowed by the interpreter.
                continue
            function = value.fget if isinstance(value, property) else value
            if hasattr(function, "__code__"):
                add(function.__code__)
    return found


STORING = codes_of(spool.Spool, spool.Process, ring_module.Ring)
CALLING = codes_of(writer.Writer) | STORING
DRAINING = codes_of(draining.Drain) | CALLING


def check(root, returned: list[str], begun: set[str], place) -> None:
    """Check that lines whose calls returned are there once, that numbers are unique and without gaps, and each line whole."""
    found = [line for line in lines(root) if line["message"] in begun]
    texts = [line["message"] for line in found]
    assert len(texts) == len(set(texts)), place
    assert set(returned) <= set(texts), (place, set(returned) - set(texts))
    by_writer: dict[str, list[int]] = {}
    for line in lines(root):
        by_writer.setdefault(line["writer"]["id"], []).append(line["writer"]["seq"])
    for numbers in by_writer.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), (place, numbers)


def turns(opcodes: bool, step: int):
    """Yield 1, 2, 3 ... until a tracer has met the end."""
    turn = 1
    while True:
        yield turn
        turn += step if opcodes else 1


every_instruction = pytest.param(
    True,
    marks=pytest.mark.skipif(
        sys.version_info >= (3, 12),
        reason="a tracer hears of instructions only in code that it has traced before",
    ),
)


@pytest.mark.parametrize("opcodes", [False, every_instruction])
@pytest.mark.parametrize("kind", ["ring", "off"])
@pytest.mark.parametrize("urgent", [False, True])
def test_storing_is_whole_wherever_it_is_interrupted(root, isolated, opcodes, kind, urgent):
    handler = LLMFileHandler(root, spool="auto" if kind == "ring" else "off", flush_interval=0.01)
    log = isolated(handler)
    say = log.error if urgent else log.info
    say("first")
    returned, begun = ["first"], {"first"}
    for turn in turns(opcodes, 1):
        tracer = Tracer(CALLING, turn, opcodes=opcodes)
        text = f"t{turn}"
        begun.add(text)
        if not tracer.run(say, text):
            returned.append(text)
        if tracer.place is None:
            break
        # The next line, from this thread and from another, goes on as always.
        for name in (f"n{turn}", f"o{turn}"):
            begun.add(name)
            returned.append(name)
        say(f"n{turn}")
        other = threading.Thread(target=say, args=(f"o{turn}",))
        other.start()
        other.join(5)
        assert not other.is_alive(), tracer.place
    assert turn > (100 if opcodes else 20)
    handler.flush()
    check(root, returned, begun, "stored")
    handler.close()
    assert not rings(root)


@pytest.mark.parametrize("what", ["first call", "close", "flush", "again"])
@pytest.mark.parametrize("opcodes", [False, every_instruction])
def test_beginning_and_ending_are_whole_wherever_they_are_interrupted(root, isolated, what, opcodes):
    returned, begun = [], set()

    def say(text):
        begun.add(text)
        log.info(text)
        returned.append(text)

    handler = LLMFileHandler(root, flush_interval=0.002)
    log = isolated(handler)
    for turn in turns(opcodes, 5):
        if what != "first call":
            say(f"before{turn}")
        if what == "again":
            handler.close()
        action = {"close": handler.close, "flush": handler.flush}.get(what)
        tracer = Tracer(CALLING, turn, opcodes=opcodes)
        tracer.run(action or (lambda: say(f"t{turn}")))  # noqa: B023
        if tracer.place is None:
            break
        say(f"after{turn}")
        deadline = time.monotonic() + 5
        while not (handler._writer._thread and handler._writer._thread.running):
            # By the next call, or the one after a moment, if it came in between.
            assert time.monotonic() < deadline, tracer.place
            say(f"more{turn}-{time.monotonic()}")
            time.sleep(0.05)
        if what == "first call":
            handler.close()
    handler.close()
    reopen(root)
    check(root, returned, begun, what)


@pytest.mark.parametrize("opcodes", [False, every_instruction])
def test_draining_in_the_callers_thread_is_whole_wherever_it_is_interrupted(
    root, isolated, monkeypatch, opcodes
):
    # As under a server that runs no threads: each call writes by itself.
    monkeypatch.setattr(writer, "threads_run", lambda: False)
    handler = LLMFileHandler(root, flush_interval=0.0)
    log = isolated(handler)
    returned, begun = [], set()
    for turn in turns(opcodes, 3):
        tracer = Tracer(DRAINING, turn, opcodes=opcodes)
        text = f"t{turn}"
        begun.add(text)
        if not tracer.run(log.info, text):
            returned.append(text)
        if tracer.place is None:
            break
        begun.add(f"n{turn}")
        log.info("n%d", turn)
        returned.append(f"n{turn}")
    handler.flush()
    check(root, returned, begun, "drained")
    handler.close()
    assert not rings(root)


def test_a_thread_that_cannot_be_started_is_tried_again(root, isolated, monkeypatch):
    real, refused = threading.Thread.start, []

    def start(self):
        if self.name == "llm_logging-writer" and len(refused) < 3:
            refused.append(1)
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    handler = LLMFileHandler(root)
    log = isolated(handler)
    for n in range(20):
        log.info("m%d", n)
        time.sleep(0.05)
    assert handler._writer._thread.running
    handler.close()
    check(root, [f"m{n}" for n in range(20)], {f"m{n}" for n in range(20)}, "refused")
