"""The one line for each SDK that the guide shows, run against a server."""

import gc
import logging

import pytest

import llm_logging
from llm_logging.integrations.httpx import LoggedTransport, instrument, uninstrument
from tests.integrations.sdks import SDKS, installed
from tests.sinks import MemorySink

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

MESSAGES = [{"role": "user", "content": "Say hi"}]
# The line, then how it is asked.
LINES = {
    "openai": (
        "client = OpenAI(http_client=DefaultHttpxClient(transport=LoggedTransport()))",
        "from openai import OpenAI, DefaultHttpxClient",
        'client.chat.completions.create(model="m-1", messages=MESSAGES)',
    ),
    "anthropic": (
        "client = Anthropic(http_client=DefaultHttpxClient(transport=LoggedTransport()))",
        "from anthropic import Anthropic, DefaultHttpxClient",
        'client.messages.create(model="m-1", max_tokens=5, messages=MESSAGES)',
    ),
    "groq": (
        "client = Groq(http_client=DefaultHttpxClient(transport=LoggedTransport()))",
        "from groq import Groq, DefaultHttpxClient",
        'client.chat.completions.create(model="m-1", messages=MESSAGES)',
    ),
    "google-genai": (
        'client = genai.Client(http_options={"client_args": {"transport": LoggedTransport()}})',
        "from google import genai",
        'client.models.generate_content(model="m-1", contents="Say hi")',
    ),
    "mistralai": (
        'client = Mistral(api_key="...", client=httpx2.Client(transport=LoggedTransport()), server_url=url)',
        "import httpx2; from mistralai.client import Mistral",
        'client.chat.complete(model="m-1", messages=MESSAGES)',
    ),
    "cohere": (
        'client = cohere.ClientV2("...", httpx_client=httpx.Client(transport=LoggedTransport()), base_url=url)',
        "import cohere, httpx",
        'client.chat(model="m-1", messages=MESSAGES)',
    ),
    "ollama": (
        "client = ollama.Client(transport=LoggedTransport(), host=url)",
        "import ollama",
        'client.chat("m-1", MESSAGES)',
    ),
}


@pytest.fixture(autouse=True)
def sockets_that_sdks_leave_open_go_here():
    yield
    gc.collect()


@pytest.fixture
def prepared(server, monkeypatch):
    sink = MemorySink(project_id="shop", chat_id="c-1")
    logger = logging.getLogger("llm")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(sink)
    for name, path in (("OPENAI", "/v1"), ("ANTHROPIC", ""), ("GROQ", ""), ("GOOGLE_GEMINI", "")):
        monkeypatch.setenv(f"{name}_BASE_URL", server.url + path)
    for name in ("OPENAI", "ANTHROPIC", "GROQ", "GEMINI"):
        monkeypatch.setenv(f"{name}_API_KEY", "k")
    yield sink
    logger.removeHandler(sink)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("how", ["transport", "instrument"])
def test_one_line(name, how, server, prepared, monkeypatch):
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    sdk = SDKS[name]
    line, imports, ask = LINES[name]
    monkeypatch.setenv("LLM_LOGGING_HOSTS", f"127.0.0.1:{server.port}={sdk.provider}")
    server.play(sdk.path, sdk.answer())
    names = {
        "LoggedTransport": LoggedTransport,
        "MESSAGES": MESSAGES,
        "url": server.url,
        "llm_logging": llm_logging,
    }
    exec(imports, names)
    try:
        if how == "instrument":
            instrument()
            line = (
                line.replace("transport=LoggedTransport(), ", "")
                .replace("transport=LoggedTransport()", "")
                .replace('"transport": LoggedTransport()', "")
            )
        exec(line, names)
        exec(ask, names)
    finally:
        uninstrument()
        names.clear()
    entry = prepared.only()
    assert (entry.status, entry.provider, entry.model) == ("success", sdk.provider, "m-1")
    assert (entry.usage.prompt_tokens, entry.usage.completion_tokens) == sdk.usage
