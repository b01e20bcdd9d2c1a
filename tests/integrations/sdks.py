"""How each SDK is asked, plain and streamed, and what a server of its provider answers.

Streams are returned as lists of what the SDK yields; nothing here knows of logging.
"""

import contextlib
import importlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.loopback import Answer, named_sse, sse

# LiteLLM fetches its list of prices from the network otherwise.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

QUESTION = "Say hi"


@dataclass
class SDK:
    """One SDK.

    Args:
        name: Of the package.
        provider: As it is logged.
        path: Where it asks.
        stream_path: Where it asks for streams.
        plain: The whole answer.
        stream: The streamed one, in chunks.
        usage: Prompt and completion tokens of both.
        model: As asked for.
        retries: Whether it retries by itself.
        stream_type: The content type of a stream.
        refusal: An error's body.
        code: What is read from that.
        aiohttp: Whether its asynchronous half is left to take aiohttp.
    """

    name: str
    provider: str
    path: str
    plain: Any
    stream: list[Any]
    usage: tuple[int, int] = (9, 2)
    model: str = "m-1"
    stream_path: str | None = None
    retries: bool = True
    stream_type: str = "text/event-stream"
    refusal: Any = field(default_factory=lambda: {"error": {"message": "no", "type": "t", "code": "c"}})
    code: str = "c"
    aiohttp: bool = False

    @property
    def label(self) -> str:
        return f"{self.name} over aiohttp" if self.aiohttp else self.name

    def answer(self, **options: Any) -> Answer:
        return Answer(self.plain, **options)

    def streamed(self, chunks: list[Any] | None = None, **options: Any) -> Answer:
        return Answer(self.stream if chunks is None else chunks, content_type=self.stream_type, **options)

    def no(self, status: int) -> Answer:
        return Answer(self.refusal, status)


def chat(usage: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-1-2026",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
        "usage": usage,
        **more,
    }


def chat_chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-1-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
CHAT_STREAM = sse(
    chat_chunk({"role": "assistant", "content": ""}),
    chat_chunk({"content": "H"}),
    chat_chunk({"content": "i"}),
    chat_chunk({}, "stop"),
    {**chat_chunk({}), "choices": [], "usage": USAGE},
)
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m-1-2026",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 4,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "output_tokens": 2,
    },
}
ANTHROPIC_STREAM = named_sse(
    {"type": "message_start", "message": {**ANTHROPIC, "content": [], "stop_reason": None,
                                          "usage": {**ANTHROPIC["usage"], "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)  # fmt: skip


def gemini(text: str, finish: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m-1-2026", "responseId": "c1"}


GEMINI_USAGE = {
    "promptTokenCount": 9,
    "candidatesTokenCount": 1,
    "thoughtsTokenCount": 1,
    "totalTokenCount": 11,
}
COHERE_USAGE = {
    "billed_units": {"input_tokens": 3, "output_tokens": 2},
    "tokens": {"input_tokens": 9, "output_tokens": 2},
}
OLLAMA = {"model": "m-1-2026", "created_at": "2026-01-01T00:00:00Z", "done": True, "done_reason": "stop",
          "prompt_eval_count": 9, "eval_count": 2}  # fmt: skip

SDKS = {
    sdk.label: sdk
    for sdk in (
        SDK("openai", "openai", "/chat/completions", chat(USAGE), CHAT_STREAM),
        SDK("groq", "groq", "/openai/v1/chat/completions", chat(USAGE), CHAT_STREAM),
        SDK(
            "anthropic", "anthropic", "/v1/messages", ANTHROPIC, ANTHROPIC_STREAM,
            refusal={"type": "error", "error": {"type": "c", "message": "no"}},
        ),
        SDK(
            "mistralai", "mistral", "/v1/chat/completions", chat(USAGE),
            sse(chat_chunk({"role": "assistant", "content": ""}), chat_chunk({"content": "H"}), chat_chunk({"content": "i"}),
                chat_chunk({}, "stop", usage=USAGE)),
            retries=False, refusal={"object": "error", "message": "no", "type": "t", "code": "c"},
        ),
        SDK(
            "google-genai", "google", ":generateContent", gemini("Hi", "STOP", GEMINI_USAGE),
            [f"data: {json.dumps(gemini(text, finish, usage))}\r\n\r\n".encode() for text, finish, usage in (
                ("H", None, {"promptTokenCount": 9, "totalTokenCount": 9}), ("i", "STOP", GEMINI_USAGE))],
            stream_path=":streamGenerateContent", retries=False,
            refusal={"error": {"code": 429, "message": "no", "status": "c"}},
        ),
        SDK(
            "cohere", "cohere", "/v2/chat",
            {"id": "c1", "finish_reason": "COMPLETE", "usage": COHERE_USAGE,
             "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}},
            named_sse(
                {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant"}}},
                {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
                {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}},
                {"type": "content-end", "index": 0},
                {"type": "message-end", "id": "c1", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}},
            ),
            refusal={"message": "no"}, code="429",
        ),
        SDK(
            "ollama", "ollama", "/api/chat", {**OLLAMA, "message": {"role": "assistant", "content": "Hi"}},
            [json.dumps(part).encode() + b"\n" for part in (
                {"model": "m-1-2026", "created_at": "2026-01-01T00:00:00Z", "done": False,
                 "message": {"role": "assistant", "content": "Hi"}},
                {**OLLAMA, "message": {"role": "assistant", "content": ""}})],
            stream_type="application/x-ndjson", retries=False, refusal={"error": "no"}, code="429",
        ),
    )
}  # fmt: skip


SDKS["google-genai over aiohttp"] = replace(SDKS["google-genai"], aiohttp=True)


def installed(name: str) -> bool:
    name, _, library = name.partition(" over ")
    module = {"google-genai": "google.genai"}.get(name, name)
    with contextlib.suppress(ImportError):
        importlib.import_module(module)
        if library:
            importlib.import_module(library)
        return True
    return False


class Asker:
    """One SDK's client, synchronous and asynchronous, against one server."""

    def __init__(self, sdk: SDK, url: str, *, timeout: float = 5.0, retries: int = 0) -> None:
        self.sdk = sdk
        self._url = url
        self._timeout = timeout
        self._retries = retries

    def _stainless(self, module: str, name: str) -> Any:
        base = {"openai": "/v1"}.get(module, "")
        kind = getattr(importlib.import_module(module), name)
        return kind(base_url=self._url + base, api_key="k", timeout=self._timeout, max_retries=self._retries)

    def _mistral(self) -> Any:
        from mistralai.client import Mistral

        options: dict[str, Any] = {}
        if self._retries:
            from mistralai.client.utils import BackoffStrategy, RetryConfig

            options["retry_config"] = RetryConfig("backoff", BackoffStrategy(10, 20, 1.1, 2000), True)
        return Mistral(api_key="k", server_url=self._url, timeout_ms=int(self._timeout * 1000), **options)

    def _genai(self) -> Any:
        import httpx2
        from google import genai

        options: dict[str, Any] = {"base_url": self._url, "timeout": int(self._timeout * 1000)}
        if not self.sdk.aiohttp:
            # With a transport of one's own it takes httpx2; else its asynchronous half takes aiohttp where that is installed.
            options["async_client_args"] = {"transport": httpx2.AsyncHTTPTransport()}
        if self._retries:
            options["retry_options"] = {
                "attempts": self._retries + 1,
                "initial_delay": 0.01,
                "max_delay": 0.02,
            }
        return genai.Client(api_key="k", http_options=options)

    def plain(self) -> Any:
        messages: Any = [{"role": "user", "content": QUESTION}]
        name = self.sdk.name
        if name in ("openai", "groq"):
            with self._stainless(name, {"openai": "OpenAI", "groq": "Groq"}[name]) as client:
                return client.chat.completions.create(model="m-1", messages=messages)
        if name == "anthropic":
            with self._stainless(name, "Anthropic") as client:
                return client.messages.create(model="m-1", max_tokens=5, messages=messages)
        if name == "mistralai":
            with self._mistral() as client:
                return client.chat.complete(model="m-1", messages=messages)
        if name == "google-genai":
            client = self._genai()
            return client.models.generate_content(model="m-1", contents=QUESTION)
        if name == "cohere":
            import cohere

            client = cohere.ClientV2(api_key="k", base_url=self._url, timeout=self._timeout)
            return client.chat(model="m-1", messages=messages, request_options={"max_retries": self._retries})
        import ollama

        return ollama.Client(host=self._url, timeout=self._timeout).chat("m-1", messages)

    @contextlib.contextmanager
    def streaming(self) -> Iterator[Iterator[Any]]:
        messages: Any = [{"role": "user", "content": QUESTION}]
        name = self.sdk.name
        if name in ("openai", "groq"):
            with self._stainless(name, {"openai": "OpenAI", "groq": "Groq"}[name]) as client:
                with client.chat.completions.create(model="m-1", messages=messages, stream=True) as stream:
                    yield iter(stream)
        elif name == "anthropic":
            with self._stainless(name, "Anthropic") as client:
                with client.messages.create(
                    model="m-1", max_tokens=5, messages=messages, stream=True
                ) as stream:
                    yield iter(stream)
        elif name == "mistralai":
            with self._mistral() as client, client.chat.stream(model="m-1", messages=messages) as stream:
                yield iter(stream)
        elif name == "google-genai":
            client = self._genai()
            with contextlib.closing(
                client.models.generate_content_stream(model="m-1", contents=QUESTION)
            ) as stream:
                yield stream
        elif name == "cohere":
            import cohere

            client = cohere.ClientV2(api_key="k", base_url=self._url, timeout=self._timeout)
            with contextlib.closing(client.chat_stream(model="m-1", messages=messages)) as stream:
                yield stream
        else:
            import ollama

            stream = ollama.Client(host=self._url, timeout=self._timeout).chat("m-1", messages, stream=True)
            with contextlib.closing(stream):
                yield stream

    async def aplain(self) -> Any:
        messages: Any = [{"role": "user", "content": QUESTION}]
        name = self.sdk.name
        if name in ("openai", "groq"):
            async with self._stainless(name, {"openai": "AsyncOpenAI", "groq": "AsyncGroq"}[name]) as client:
                return await client.chat.completions.create(model="m-1", messages=messages)
        if name == "anthropic":
            async with self._stainless(name, "AsyncAnthropic") as client:
                return await client.messages.create(model="m-1", max_tokens=5, messages=messages)
        if name == "mistralai":
            async with self._mistral() as client:
                return await client.chat.complete_async(model="m-1", messages=messages)
        if name == "google-genai":
            genai = self._genai()
            async with genai.aio as client:
                return await client.models.generate_content(model="m-1", contents=QUESTION)
        if name == "cohere":
            import cohere

            async with cohere.AsyncClientV2(api_key="k", base_url=self._url, timeout=self._timeout) as client:
                return await client.chat(
                    model="m-1", messages=messages, request_options={"max_retries": self._retries}
                )
        import ollama

        return await ollama.AsyncClient(host=self._url, timeout=self._timeout).chat("m-1", messages)

    async def astreaming(self) -> AsyncIterator[Any]:
        messages: Any = [{"role": "user", "content": QUESTION}]
        name = self.sdk.name
        if name in ("openai", "groq"):
            async with self._stainless(name, {"openai": "AsyncOpenAI", "groq": "AsyncGroq"}[name]) as client:
                async with await client.chat.completions.create(
                    model="m-1", messages=messages, stream=True
                ) as stream:
                    async for item in stream:
                        yield item
        elif name == "anthropic":
            async with self._stainless(name, "AsyncAnthropic") as client:
                async with await client.messages.create(
                    model="m-1", max_tokens=5, messages=messages, stream=True
                ) as stream:
                    async for item in stream:
                        yield item
        elif name == "mistralai":
            async with self._mistral() as client:
                async with await client.chat.stream_async(model="m-1", messages=messages) as stream:
                    async for item in stream:
                        yield item
        elif name == "google-genai":
            genai = self._genai()
            async with genai.aio as client:
                async for item in await client.models.generate_content_stream(model="m-1", contents=QUESTION):
                    yield item
        elif name == "cohere":
            import cohere

            async with cohere.AsyncClientV2(api_key="k", base_url=self._url, timeout=self._timeout) as client:
                async for item in client.chat_stream(model="m-1", messages=messages):
                    yield item
        else:
            import ollama

            client = ollama.AsyncClient(host=self._url, timeout=self._timeout)
            async for item in await client.chat("m-1", messages, stream=True):
                yield item
