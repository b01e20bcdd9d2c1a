"""A FastAPI application that logs each request to a model with the chat that it belongs to.

LLM_LOGGING_ROOT=var/llm python examples/fastapi_app.py
curl -X POST 'localhost:8000/projects/shop/chats/c-17' -H 'content-type: application/json' -d '{"text": "hello"}'
curl 'localhost:8000/projects/shop/stats'
"""

import asyncio
import os
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

import llm_logging

app = FastAPI()
log = llm_logging.get_logger("app.chat")


class Message(BaseModel):
    """What a user says."""

    text: str


async def model(text: str) -> AsyncIterator[str]:
    """Stand in for a provider's stream: one word a chunk."""
    for word in f"You said {text}".split():
        await asyncio.sleep(0.005)
        if word == "fail":
            raise TimeoutError("the model does not answer")
        yield word


def usage(text: str, words: int) -> dict[str, int]:
    """Stand in for a provider's count of tokens."""
    return {"prompt_tokens": len(text.split()), "completion_tokens": words}


@app.post("/projects/{project_id}/chats/{chat_id}")
async def chat(project_id: str, chat_id: str, message: Message) -> dict[str, object]:
    """Answer at once."""
    # What is logged in here, in tasks and in threads of asyncio too, belongs to this chat.
    with llm_logging.scope(project_id=project_id, chat_id=chat_id):
        await log.alog_chat_message({"role": "user", "content": message.text})
        try:
            async with log.request(model="gpt-4o-mini", provider="openai") as call:
                words = [word async for word in model(message.text)]
                call.finish(usage=usage(message.text, len(words)))
        except TimeoutError as error:
            raise HTTPException(504, "the model is too slow") from error
        return {"answer": " ".join(words), "request_id": call.id}


@app.post("/projects/{project_id}/chats/{chat_id}/stream")
async def stream(project_id: str, chat_id: str, message: Message) -> StreamingResponse:
    """Answer word by word."""
    # A stream outlives this function, so it binds its context and holds no scope across a yield.
    bound = log.bind(project_id=project_id, chat_id=chat_id)

    async def words() -> AsyncIterator[str]:
        async with bound.request(model="gpt-4o-mini", provider="openai", stream=True) as call:
            count = 0
            async for word in model(message.text):
                call.first_token()
                count += 1
                yield f"{word} "
            call.finish(usage=usage(message.text, count))

    return StreamingResponse(words(), media_type="text/plain")


@app.get("/projects/{project_id}/stats")
def stats(project_id: str) -> dict[str, object]:
    """Say what a project used: read from the files, so in a thread."""
    try:
        answer = llm_logging.get_stats(llm_logging.StatsScope(type="project", project_id=project_id))
    except llm_logging.NotFoundError as error:
        raise HTTPException(404, str(error)) from error
    return answer.summary.model_dump(by_alias=True, mode="json")


if __name__ == "__main__":
    # uvicorn configures logging itself, so the preset is given to it; its own lines land in our files as events.
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(os.environ.get("PORT", "8000")),
        log_config=llm_logging.presets.development(level="INFO"),
    )
