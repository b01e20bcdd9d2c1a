"""LiteLLM: one callback for all of its providers.

OPENAI_API_KEY=... python examples/litellm_calls.py
"""

import logging.config
import time

import llm_logging
from llm_logging.integrations.litellm import LiteLLMLogger

MODEL = "openai/gpt-4o-mini"


def main() -> None:
    logging.config.dictConfig(llm_logging.presets.production())

    import litellm

    litellm.callbacks = [LiteLLMLogger()]
    question = [{"role": "user", "content": "Say hi"}]
    with llm_logging.scope(project_id="examples", chat_id="litellm"):
        answer = litellm.completion(model=MODEL, messages=question)
        print(answer.choices[0].message.content)
        stream = litellm.completion(
            model=MODEL, messages=question, stream=True, stream_options={"include_usage": True}
        )
        print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
    # LiteLLM calls back from a thread of its own.
    time.sleep(1)


if __name__ == "__main__":
    main()
