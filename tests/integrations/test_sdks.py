"""Real SDKs against a server on loopback: the same with and without us, and the entry is right.

Each scenario runs twice, bare and instrumented; results and exceptions must be equal.
"""

import asyncio
import gc
import re
import time

import pytest

from llm_logging.integrations.httpx import instrument, uninstrument
from tests.integrations.sdks import SDKS, Asker, installed
from tests.loopback import CUT, Answer

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(autouse=True, scope="module")
def what_sdks_import_is_left_to_itself():
    """SDKs make hundreds of thousands of objects; frozen, each collection below takes a moment only."""
    for name in SDKS:
        installed(name)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def sockets_that_sdks_leave_open_go_here():
    yield
    gc.collect()


@pytest.fixture(params=list(SDKS))
def sdk(request):
    if not installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    return SDKS[request.param]


class Both:
    """Run a scenario bare, then instrumented."""

    def __init__(self, sdk, server, log, sink):
        self.sdk, self.server, self.log, self.sink = sdk, server, log, sink

    def play(self, *answers, streamed=False):
        path = (self.sdk.stream_path or self.sdk.path) if streamed else self.sdk.path
        self.answers = (path, answers)

    def run(self, scenario, **options):
        """Return what came of it, once it is the same both ways."""
        outcomes = []
        for instrumented in (False, True):
            path, answers = self.answers
            self.server.answers.clear()
            self.server.play(path, *answers)
            if instrumented:
                instrument(self.log, hosts={f"127.0.0.1:{self.server.port}": self.sdk.provider})
            try:
                asker = Asker(self.sdk, self.server.url, **options)
                try:
                    outcomes.append(("returned", plain(scenario(asker))))
                except Exception as error:
                    # Some show the answer's headers, and the second may have passed.
                    told = re.sub(r"'date': '[^']*'", "", str(error))
                    outcomes.append(("raised", type(error).__qualname__, told))
            finally:
                uninstrument()
        assert outcomes[0] == outcomes[1]
        return outcomes[1]

    def entry(self):
        return self.sink.only()


def plain(value):
    if isinstance(value, list):
        return [plain(item) for item in value]
    for name in ("model_dump", "dict"):
        if hasattr(value, name):
            found = getattr(value, name)()
            if isinstance(found, dict):
                found = {key: item for key, item in found.items() if key != "sdk_http_response"}
            return repr(found)
    return repr(value)


@pytest.fixture
def both(sdk, server, log, sink):
    return Both(sdk, server, log, sink)


def listed(asker):
    with asker.streaming() as stream:
        return list(stream)


def alisted(asker):
    async def collect():
        return [item async for item in asker.astreaming()]

    return asyncio.run(collect())


def aplain(asker):
    return asyncio.run(asker.aplain())


SYNC_AND_ASYNC = pytest.mark.parametrize("scenario", [Asker.plain, aplain], ids=["sync", "async"])
STREAMS = pytest.mark.parametrize("scenario", [listed, alisted], ids=["sync", "async"])


def check_tokens(entry, sdk):
    assert entry.usage is not None
    assert (entry.usage.prompt_tokens, entry.usage.completion_tokens) == sdk.usage
    assert (entry.provider, entry.model) == (sdk.provider, "m-1")
    assert entry.response_model in ("m-1-2026", None if sdk.name == "cohere" else "m-1-2026")
    assert entry.usage.source == "provider"
    assert entry.finish_reasons


@SYNC_AND_ASYNC
def test_plain(both, scenario):
    both.play(both.sdk.answer())
    assert both.run(scenario)[0] == "returned"
    entry = both.entry()
    assert (entry.status, entry.http_status, entry.stream) == ("success", 200, None)
    check_tokens(entry, both.sdk)


@STREAMS
def test_streamed(both, scenario):
    both.play(both.sdk.streamed(), streamed=True)
    assert both.run(scenario)[0] == "returned"
    entry = both.entry()
    assert (entry.status, entry.http_status, entry.stream) == ("success", 200, True)
    assert 0 < entry.timings.time_to_first_token_ms <= entry.timings.latency_ms
    assert (entry.attributes or {}).keys() <= {"request"}
    check_tokens(entry, both.sdk)


PAUSE = 0.3


@STREAMS
def test_chunks_arrive_when_they_are_sent(both, scenario):
    half = (len(both.sdk.stream) + 1) // 2
    both.play(both.sdk.streamed([*both.sdk.stream[:half], PAUSE, *both.sdk.stream[half:]]), streamed=True)
    arrived = []

    def timed(asker):
        arrived.clear()
        if scenario is alisted:

            async def main():
                async for _ in asker.astreaming():
                    arrived.append(time.perf_counter())

            return asyncio.run(main())
        with asker.streaming() as stream:
            for _ in stream:
                arrived.append(time.perf_counter())
        return None

    both.run(timed)
    # The first came before the pause, not with the last.
    assert arrived[-1] - arrived[0] > PAUSE / 2
    entry = both.entry()
    assert entry.timings.latency_ms - entry.timings.time_to_first_token_ms > PAUSE * 500
    check_tokens(entry, both.sdk)


def test_left_half_way(both):
    body = [*both.sdk.stream[:-1], 0.3, both.sdk.stream[-1]]
    both.play(both.sdk.streamed(body), streamed=True)

    def leave(asker):
        with asker.streaming() as stream:
            return next(stream)

    both.run(leave)
    entry = both.sink.wait(1)[0]
    assert (entry.status, entry.error) == ("success", None)
    assert entry.timings.latency_ms < 250 or both.sdk.name == "openai"


def test_cancelled_half_way(both):
    body = [*both.sdk.stream[:-1], 5.0, both.sdk.stream[-1]]
    both.play(both.sdk.streamed(body), streamed=True)

    def cancel(asker):
        async def main():
            arrived = asyncio.Event()

            async def read():
                async for _ in asker.astreaming():
                    arrived.set()

            task = asyncio.create_task(read())
            await arrived.wait()
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        return asyncio.run(main())

    both.run(cancel)
    entry = both.sink.wait(1)[0]
    assert (entry.status, entry.error) == ("success", None)
    assert entry.timings.time_to_first_token_ms is not None


async def asked(server, before):
    """Wait until the server has been asked once more."""
    async with asyncio.timeout(20):
        while len(server.requests) == before:  # noqa: ASYNC110  the server is a thread
            await asyncio.sleep(0.005)


def test_cancelled_before_anything_came(both):
    both.play(both.sdk.answer(delay=5.0))

    def cancel(asker):
        async def main():
            before = len(both.server.requests)
            task = asyncio.create_task(asker.aplain())
            await asked(both.server, before)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        return asyncio.run(main())

    both.run(cancel)
    assert (both.entry().status, both.entry().error.code) == ("error", "cancelled")


@SYNC_AND_ASYNC
def test_timed_out(both, scenario):
    both.play(both.sdk.answer(delay=5.0))
    started = time.perf_counter()
    assert both.run(scenario, timeout=0.15)[0] == "raised"
    assert time.perf_counter() - started < 4
    assert {entry.status for entry in both.sink.final} == {"timeout"}
    assert both.sink.final[-1].error.code == "timeout"


def test_a_deadline_around_the_call(both):
    both.play(both.sdk.answer(delay=5.0))

    def hurry(asker):
        async def main():
            before = len(both.server.requests)

            async def expire(deadline):
                await asked(both.server, before)
                deadline.reschedule(asyncio.get_running_loop().time())

            async with asyncio.timeout(30) as deadline:
                expiring = asyncio.create_task(expire(deadline))
                await asker.aplain()
                await expiring

        return asyncio.run(main())

    assert both.run(hurry)[:2] == ("raised", "TimeoutError")
    assert (both.entry().status, both.entry().error.code) == ("timeout", "timeout")


@SYNC_AND_ASYNC
def test_unauthorised(both, scenario):
    both.play(both.sdk.no(401))
    assert both.run(scenario)[0] == "raised"
    entry = both.sink.final[-1]
    assert (entry.status, entry.http_status, entry.error.message, entry.usage) == ("error", 401, "no", None)
    assert entry.error.code in (both.sdk.code, "401", "429")


@SYNC_AND_ASYNC
def test_refused_then_answered(both, scenario):
    if both.sdk.name == "ollama":
        pytest.skip("ollama does not retry")
    refusal = both.sdk.no(429)
    refusal.headers["retry-after-ms"] = "10"
    refusal.headers["retry-after"] = "0.01"
    both.play(refusal, both.sdk.answer())
    assert both.run(scenario, retries=2)[0] == "returned"
    first, second = both.sink.final
    assert (first.status, first.http_status, first.attempt) == ("error", 429, 1)
    assert (second.status, second.http_status, second.attempt) == ("success", 200, 2)
    assert first.request_group == second.request_group == first.id
    assert second.timings.total_duration_ms >= second.timings.latency_ms
    check_tokens(second, both.sdk)


@SYNC_AND_ASYNC
def test_broken_server(both, scenario):
    both.play(both.sdk.no(500))
    assert both.run(scenario)[0] == "raised"
    entry = both.sink.final[-1]
    assert (entry.status, entry.http_status, entry.error.message) == ("error", 500, "no")


@SYNC_AND_ASYNC
def test_connection_refused(both, scenario):
    both.play(both.sdk.answer())
    port = both.server.port
    # Told nothing of retries, google-genai waits up to ten seconds over aiohttp, then tries once more.
    options = {"retries": 1} if both.sdk.aiohttp else {}

    def ask(asker):
        asker._url = "http://127.0.0.1:9"
        return scenario(asker)

    outcome = None
    for instrumented in (False, True):
        if instrumented:
            instrument(
                both.log, hosts={f"127.0.0.1:{port}": both.sdk.provider, "127.0.0.1:9": both.sdk.provider}
            )
        try:
            with pytest.raises(Exception) as raised:
                ask(Asker(both.sdk, both.server.url, **options))
            assert outcome in (None, type(raised.value))
            outcome = type(raised.value)
        finally:
            uninstrument()
    entry = both.sink.final[-1]
    assert (entry.status, entry.error.code, entry.http_status) == ("error", "connection_error", None)


@SYNC_AND_ASYNC
def test_malformed_body(both, scenario):
    both.play(Answer(b'{"id": "c1", "choices": [{"ind'))
    both.run(scenario)
    entry = both.sink.final[-1]
    assert (entry.http_status, entry.usage) == (200, None)


@STREAMS
def test_a_stream_cut_in_the_middle(both, scenario):
    half = len(both.sdk.stream) // 2
    both.play(both.sdk.streamed([*both.sdk.stream[:half], CUT]), streamed=True)
    assert both.run(scenario)[0] == "raised"
    entry = both.sink.final[-1]
    assert (entry.status, entry.http_status) == ("error", 200)
    assert entry.error.type in ("RemoteProtocolError", "ClientPayloadError")
    assert entry.usage is None or entry.usage.source == "partial"
