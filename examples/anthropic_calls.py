"""Anthropic: plain and streamed; cached tokens are part of the prompt, as everywhere.

ANTHROPIC_API_KEY=... python examples/anthropic_calls.py
"""

import logging.config

import llm_logging
from llm_logging.integrations.httpx import instrument

MODEL = "claude-sonnet-4-5"


def main() -> None:
    logging.config.dictConfig(llm_logging.presets.production())
    instrument()

    from anthropic import Anthropic

    question = [{"role": "user", "content": "Say hi"}]
    with Anthropic() as client, llm_logging.scope(project_id="examples", chat_id="anthropic"):
        answer = client.messages.create(model=MODEL, max_tokens=100, messages=question)
        print(answer.content[0].text)
        with client.messages.stream(model=MODEL, max_tokens=100, messages=question) as stream:
            print("".join(stream.text_stream))


if __name__ == "__main__":
    main()
