"""LangChain: a callback on the model, or on one invocation.

OPENAI_API_KEY=... python examples/langchain_calls.py
"""

import logging.config

import llm_logging
from llm_logging.integrations.langchain import LangChainLogger

MODEL = "gpt-4o-mini"


def main() -> None:
    logging.config.dictConfig(llm_logging.presets.production())

    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=MODEL, stream_usage=True, callbacks=[LangChainLogger()])
    with llm_logging.scope(project_id="examples", chat_id="langchain"):
        print(model.invoke("Say hi").content)
        print("".join(chunk.content for chunk in model.stream("Say hi")))


if __name__ == "__main__":
    main()
