"""A chat service with several workers, whose statistics are read from its files.

    OPENAI_API_KEY=... uvicorn examples.chat_service:app --workers 4
    curl -X POST 'localhost:8000/projects/shop/chats/c-17?text=hello'
    curl localhost:8000/projects/shop/stats

Every worker writes the same files; a reader needs none of them.
"""

import logging.config
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

import llm_logging
from llm_logging.integrations.httpx import LoggedTransport

MODEL = "gpt-4o-mini"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # uvicorn configures logging before it imports an application, so this comes last and stays.
    logging.config.dictConfig(llm_logging.presets.production())
    transport = LoggedTransport(httpx.AsyncHTTPTransport())
    async with httpx.AsyncClient(
        base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        headers={"authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}"},
        transport=transport,
        timeout=60,
    ) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


@app.post("/projects/{project_id}/chats/{chat_id}")
async def chat(project_id: str, chat_id: str, text: str) -> dict[str, Any]:
    with llm_logging.scope(project_id=project_id, chat_id=chat_id):
        response = await app.state.client.post("/chat/completions", json=asked(text))
    response.raise_for_status()
    return {"answer": response.json()["choices"][0]["message"]["content"], "worker": os.getpid()}


@app.post("/projects/{project_id}/chats/{chat_id}/stream")
async def stream(project_id: str, chat_id: str, text: str) -> StreamingResponse:
    # The entry is made when the request is sent, so it has this scope; the stream may end long after.
    body = asked(text, stream=True, stream_options={"include_usage": True})
    with llm_logging.scope(project_id=project_id, chat_id=chat_id):
        request = app.state.client.build_request("POST", "/chat/completions", json=body)
        response = await app.state.client.send(request, stream=True)

    async def parts() -> AsyncIterator[bytes]:
        try:
            async for part in response.aiter_bytes():
                yield part
        finally:
            await response.aclose()

    return StreamingResponse(parts(), media_type="text/event-stream")


@app.get("/projects/{project_id}/stats")
def stats(project_id: str) -> dict[str, Any]:
    return llm_logging.get_project_metrics(project_id).model_dump(mode="json")
