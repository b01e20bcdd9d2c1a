"""OpenAI: plain, streamed, async and with tools; each call becomes an entry, and so does each retry.

    OPENAI_API_KEY=... python examples/openai_calls.py

`OPENAI_BASE_URL` names another server of the same kind, and `LLM_LOGGING_HOSTS` whom it speaks for
(`localhost:8000=vllm`).
"""

import asyncio
import logging.config

import llm_logging
from llm_logging.integrations.httpx import instrument

MODEL = "gpt-4o-mini"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def main() -> None:
    logging.config.dictConfig(llm_logging.presets.production())
    instrument()

    from openai import AsyncOpenAI, OpenAI

    question = [{"role": "user", "content": "Say hi"}]
    client = OpenAI()
    with llm_logging.scope(project_id="examples", chat_id="openai"):
        answer = client.chat.completions.create(model=MODEL, messages=question)
        print(answer.choices[0].message.content)

        # Without include_usage OpenAI streams no token counts.
        stream = client.chat.completions.create(
            model=MODEL, messages=question, stream=True, stream_options={"include_usage": True}
        )
        print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))

        client.chat.completions.create(model=MODEL, messages=question, tools=[WEATHER])

        async def ask() -> None:
            async with AsyncOpenAI() as aclient:
                await aclient.chat.completions.create(model=MODEL, messages=question)

        asyncio.run(ask())
    client.close()


if __name__ == "__main__":
    main()
