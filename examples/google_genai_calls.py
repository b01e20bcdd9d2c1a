"""Gemini through google-genai: plain and streamed; thoughts are part of the completion, as everywhere.

    GEMINI_API_KEY=... python examples/google_genai_calls.py

The transports are this client's own. `llm_logging.integrations.httpx.instrument()` sees every client instead, also where
the asynchronous half of google-genai takes aiohttp.
"""

import logging.config

import llm_logging
from llm_logging.integrations.httpx import LoggedTransport

MODEL = "gemini-2.5-flash"


def main() -> None:
    logging.config.dictConfig(llm_logging.presets.production())

    from google import genai

    logged = {
        "client_args": {"transport": LoggedTransport()},
        "async_client_args": {"transport": LoggedTransport()},
    }
    client = genai.Client(http_options=logged)
    with llm_logging.scope(project_id="examples", chat_id="google"):
        print(client.models.generate_content(model=MODEL, contents="Say hi").text)
        parts = client.models.generate_content_stream(model=MODEL, contents="Say hi")
        print("".join(part.text or "" for part in parts))
    client.close()


if __name__ == "__main__":
    main()
