"""What logging costs a call: bare and logged side by side, against a server on loopback.

    python -m tests.benchmarks.capture [--calls 300] [--streams 10000] [--peers [--rounds 3]]

Goals: at most 3 % of a call of 20 ms, at most 10 microseconds a streamed chunk, memory flat over 10,000 streams. Results
are checked before a time is reported: every call has its line, with its tokens.

Calls are timed in pairs, one bare and one logged, in changing order, and the median of the pairs' differences is told, so
what else the machine does falls on both. CPU time of the calling thread, which other programs lengthen only by what they take of the
caches, stands beside wall time. A chunk is timed without a network, in CPU time: a stream read bare and read logged.

Before memory is measured, as many bytes are logged as the buffer holds: its pages are the process's own from their first use on.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import logging.config
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

import llm_logging
from llm_logging.integrations.httpx import LoggedTransport
from llm_logging.logger.adapter import get_logger
from tests.benchmarks import peers
from tests.loopback import Answer, serving, sse

PATH = "/v1/chat/completions"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hi. " * 50}]}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
WHOLE = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi. " * 200}}],
    "usage": USAGE,
}  # fmt: skip


def piece(text: str | None, finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-123", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024",
        "system_fingerprint": "fp_44709d6fcb", "service_tier": "default",
        "choices": [{"index": 0, "delta": {"content": text} if text else {}, "logprobs": None, "finish_reason": finish}],
        "usage": None,
    }  # fmt: skip


def chunks(count: int) -> list[bytes]:
    return sse(
        *[piece(" word") for _ in range(count)],
        piece(None, "stop"),
        {**piece(None), "choices": [], "usage": USAGE},
    )


class Source:
    """A transport that answers from memory, chunk by chunk."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts

    def handle_request(self, request: Any) -> Any:
        parts = self.parts

        class Stream(httpx.SyncByteStream):
            def __iter__(self) -> Any:
                return iter(parts)

        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream())

    def close(self) -> None:
        pass


def _serve(connection: Any, delay: float) -> None:
    with serving() as server:
        whole, streamed = (
            Answer(WHOLE, delay=delay),
            Answer(chunks(peers.CHUNKS), content_type="text/event-stream"),
        )
        server.play(PATH, whole)
        server.streamed = {PATH: streamed}
        connection.send(server.url)
        connection.recv()


@contextmanager
def serving_elsewhere(delay: float = 0.02) -> Iterator[str]:
    """Serve from a process of its own, as a provider would."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, delay), daemon=True)
    process.start()
    try:
        assert ours.poll(30), "the server did not start"
        yield ours.recv()
    finally:
        ours.send(None)
        process.join(30)


def lines(root: str) -> list[dict[str, Any]]:
    for handler in logging.getLogger().handlers:
        handler.flush()
    found = []
    for path in Path(root).glob("projects/*/logs/llm_requests*.jsonl"):
        found += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in found if line["status"] != "pending"]


class Times:
    """Seconds of wall clock, and of the calling thread's CPU, which other programs do not lengthen."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def take(self, call: Callable[[], Any]) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        call()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.thread_time() - cpu)


def more(without: list[float], with_it: list[float]) -> float:
    """What the second took more than the first, in the median of the pairs."""
    return statistics.median(b - a for a, b in zip(without, with_it, strict=True))


def side_by_side(bare: Callable[[], Any], logged: Callable[[], Any], rounds: int) -> tuple[Times, Times]:
    times = (Times(), Times())
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            times[which].take((bare, logged)[which])
    return times


def calls(count: int, root: str) -> None:
    log = get_logger("bench", project_id="bench", chat_id="calls")
    with serving_elsewhere() as url:
        transport = LoggedTransport(httpx.HTTPTransport(), log=log, provider="openai")
        with (
            httpx.Client(base_url=url) as bare,
            httpx.Client(base_url=url, transport=transport) as logged,
        ):
            for client in (bare, logged):
                client.post(PATH, json=ASKED)
            without, with_it = side_by_side(
                lambda: bare.post(PATH, json=ASKED), lambda: logged.post(PATH, json=ASKED), count
            )
    found = [line for line in lines(root) if line["chat_id"] == "calls"]
    assert len(found) == count + 1, len(found)
    assert all(line["usage"]["total_tokens"] == 11 for line in found)
    one = statistics.median(without.wall)
    wall, cpu = more(without.wall, with_it.wall), more(without.cpu, with_it.cpu)
    least = min(with_it.cpu) - min(without.cpu)
    print(
        f"a call of 20 ms      bare {one * 1e3:8.3f} ms   logged {wall * 1e6:+8.0f} us   {wall / one * 100:+.2f} %   (goal: 3 %)"
    )
    print(
        f"                     of it CPU of the caller {cpu * 1e6:+8.0f} us   {cpu / one * 100:+.2f} %   at best {least * 1e6:+.0f} us"
    )


def own_cost(count: int, root: str) -> None:
    """The time a call spends in here, without a network to hide it."""
    log = get_logger("bench", project_id="bench", chat_id="memory")
    inner = httpx.MockTransport(lambda request: httpx.Response(200, json=WHOLE))
    bare = httpx.Client(base_url="http://bench", transport=inner)
    logged = httpx.Client(
        base_url="http://bench", transport=LoggedTransport(inner, log=log, provider="openai")
    )
    without, with_it = side_by_side(
        lambda: bare.post(PATH, json=ASKED), lambda: logged.post(PATH, json=ASKED), count
    )
    assert sum(line["chat_id"] == "memory" for line in lines(root)) == count
    one = statistics.median(without.cpu)
    cpu = more(without.cpu, with_it.cpu)
    print(f"a call from memory   bare {one * 1e6:8.1f} us   logged {cpu * 1e6:+8.1f} us of CPU")


def a_chunk(count: int, rounds: int, root: str) -> None:
    log = get_logger("bench", project_id="bench", chat_id="chunks")
    parts = chunks(count)
    bare = httpx.Client(base_url="http://bench", transport=Source(parts))
    logged = httpx.Client(
        base_url="http://bench", transport=LoggedTransport(Source(parts), log=log, provider="openai")
    )

    def read(client: httpx.Client) -> None:
        with client.stream("POST", PATH, json={**ASKED, "stream": True}) as response:
            for _ in response.iter_raw():
                pass

    without, with_it = side_by_side(lambda: read(bare), lambda: read(logged), rounds)
    found = [line for line in lines(root) if line["chat_id"] == "chunks"]
    assert len(found) == rounds
    assert all(line["usage"]["total_tokens"] == 11 and line["stream"] for line in found)
    extra = more(without.cpu, with_it.cpu) / len(parts)
    print(f"a chunk, transport   +{extra * 1e6:.2f} us over {len(parts)} chunks   (goal: 10 us)")
    events = [json.loads(part[6:]) for part in parts[:-1]]

    def watch() -> None:
        with log.request(model="gpt-4o", pending=False) as call:
            for _ in call.stream(iter(events)):
                pass

    def plain() -> None:
        for _ in iter(events):
            pass

    without, with_it = side_by_side(plain, watch, rounds)
    extra = more(without.cpu, with_it.cpu) / len(events)
    print(f"a chunk, call.stream +{extra * 1e6:.2f} us over {len(events)} chunks   (goal: 10 us)")


def resident() -> int:
    """Bytes of memory that are the process's now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def fill_the_buffer() -> None:
    log = get_logger("bench", project_id="bench", chat_id="memory-flat")
    for _ in range(20):
        for _ in range(10):
            log.info("%s", "." * 100_000)
        for handler in logging.getLogger().handlers:
            handler.flush()


def memory(count: int) -> None:
    log = get_logger("bench", project_id="bench", chat_id="memory-flat")
    client = httpx.Client(
        base_url="http://bench",
        transport=LoggedTransport(Source(chunks(10)), log=log, provider="openai", pending=False),
    )

    def run(number: int) -> int:
        for index in range(number):
            with client.stream("POST", PATH, json={**ASKED, "stream": True}) as response:
                for part in response.iter_raw():
                    # Every third is left half way.
                    if index % 3 == 0 and b"word" in part:
                        break
        gc.collect()
        return resident()

    fill_the_buffer()
    sizes = [run(max(1000, count // 10))]
    objects = len(gc.get_objects())
    sizes += [run(count // 4) for _ in range(4)]
    grown = len(gc.get_objects()) - objects
    told = " ".join(f"{size / 2**20:.1f}" for size in sizes)
    print(f"{count:,} streams       memory, a quarter each {told} MiB, objects {grown:+d}   (goal: flat)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--peers", action="store_true", help="compare with other packages instead")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.peers:
        with serving_elsewhere(delay=0.0) as url:
            peers.run(url, options.rounds)
        return
    with tempfile.TemporaryDirectory() as root:
        logging.config.dictConfig(llm_logging.presets.production(root=root))
        logging.getLogger("httpx").setLevel(logging.WARNING)
        calls(options.calls, root)
        own_cost(max(options.calls, 300), root)
        a_chunk(500, max(20, options.calls // 10), root)
        memory(options.streams)
        logging.shutdown()


if __name__ == "__main__":
    main()
