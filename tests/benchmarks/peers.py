"""What capture adds to a call of the OpenAI SDK, ours and that of other packages, in one run.

Each package has a process of its own, which first makes calls without it and then with it, against one server elsewhere. What is
told is the median with it less the median without; rounds go through all packages in turn, and the median of the rounds counts.
Packages that are not installed are left out (`pip install llm-logging[peers]`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

CALLS = 250
CHUNKS = 400
MESSAGES = [{"role": "user", "content": "Say hi. " * 50}]


def _ours(content: str) -> None:
    import logging.config

    import llm_logging

    logging.config.dictConfig(llm_logging.presets.production(root=tempfile.mkdtemp(), content=content))
    llm_logging.instrument()


def _provider() -> Any:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> Any:
            for span in spans:
                span.to_json()
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return provider


def _opentelemetry() -> None:
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=_provider())


def _openinference() -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=_provider())


def _traceloop() -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=_provider())


def _logfire() -> None:
    import logfire

    logfire.configure(send_to_logfire=False, console=False)
    logfire.instrument_openai()


def _langfuse() -> None:
    os.environ.update(LANGFUSE_PUBLIC_KEY="pk", LANGFUSE_SECRET_KEY="sk", LANGFUSE_HOST="http://127.0.0.1:9")
    import langfuse.openai  # noqa: F401


def _langsmith() -> None:
    os.environ.update(
        LANGSMITH_TRACING="true", LANGSMITH_API_KEY="k", LANGSMITH_ENDPOINT="http://127.0.0.1:9"
    )


PEERS: dict[str, tuple[str, Callable[[], None]]] = {
    "llm_logging, content off": ("llm_logging", lambda: _ours("off")),
    "llm_logging, content full": ("llm_logging", lambda: _ours("full")),
    "opentelemetry openai-v2": ("opentelemetry.instrumentation.openai_v2", _opentelemetry),
    "langfuse": ("langfuse", _langfuse),
    "openinference": ("openinference.instrumentation.openai", _openinference),
    "traceloop": ("opentelemetry.instrumentation.openai", _traceloop),
    "logfire": ("logfire", _logfire),
    "langsmith": ("langsmith", _langsmith),
}


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def measure(name: str, url: str) -> dict[str, float]:
    """Measure one package in this process: microseconds that it adds to a call, and to a chunk."""
    import openai

    def client() -> Any:
        return openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)

    def call(sdk: Any) -> float:
        began = time.perf_counter()
        answer = sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        assert answer.usage.total_tokens == 11
        return time.perf_counter() - began

    def chunk(sdk: Any) -> float:
        began = time.perf_counter()
        parts = list(sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
        assert len(parts) > CHUNKS
        return (time.perf_counter() - began) / len(parts)

    def both(sdk: Any) -> tuple[float, float]:
        for _ in range(30):
            call(sdk)
        calls = statistics.median(call(sdk) for _ in range(CALLS))
        chunk(sdk)
        return calls, statistics.median(chunk(sdk) for _ in range(9))

    bare = both(client())
    PEERS[name][1]()
    sdk = client()
    if name == "langsmith":
        from langsmith.wrappers import wrap_openai

        sdk = wrap_openai(sdk)
    elif name == "langfuse":
        from langfuse.openai import OpenAI

        sdk = OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)
    logged = both(sdk)
    return {"call": (logged[0] - bare[0]) * 1e6, "chunk": (logged[1] - bare[1]) * 1e6, "bare": bare[0] * 1e6}


def run(url: str, rounds: int) -> None:
    """Print the table."""
    found: dict[str, list[dict[str, float]]] = {}
    names = [name for name, (module, _) in PEERS.items() if _is_installed(module)]
    for _ in range(rounds):
        for name in names:
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.peers", name, url],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                print(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
                continue
            found.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{'added to':28} {'a call':>10} {'a chunk':>10}")
    for name, figures in found.items():
        call, chunk = (statistics.median(one[key] for one in figures) for key in ("call", "chunk"))
        print(f"{name:28} {call:7.0f} us {chunk:7.1f} us")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2])))
    sys.stdout.flush()
    # Some packages wait long for servers that are not there.
    os._exit(0)
