"""Bedrock through aiobotocore: its streams stay asynchronous, and each request is an entry."""

import asyncio
import json

import pytest

from llm_logging.integrations.botocore import instrument, uninstrument
from tests.loopback import Answer
from tests.usage.aws_frames import CONVERSE

session = pytest.importorskip("aiobotocore.session", reason="aiobotocore is not installed")

MODEL = "anthropic.claude-v2"
MESSAGES = [{"role": "user", "content": [{"text": "Say hi"}]}]
WHOLE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 5, "outputTokens": 6, "totalTokens": 11},
}


def test_whole_and_streamed(server, log, sink):
    server.play("/converse", Answer(WHOLE))
    server.play("/invoke", Answer(WHOLE))
    server.play("/converse-stream", Answer([CONVERSE], content_type="application/vnd.amazon.eventstream"))

    async def main():
        options = {"region_name": "us-east-1", "aws_access_key_id": "k", "aws_secret_access_key": "s"}
        async with session.get_session().create_client(
            "bedrock-runtime", endpoint_url=server.url, **options
        ) as client:
            assert (await client.converse(modelId=MODEL, messages=MESSAGES))["output"] == WHOLE["output"]
            streamed = await client.converse_stream(modelId=MODEL, messages=MESSAGES)
            assert len([event async for event in streamed["stream"]]) == 4
            invoked = await client.invoke_model(modelId=MODEL, body=b"{}")
            async with invoked["body"] as body:
                assert json.loads(await body.read()) == WHOLE

    instrument(log, content=True)
    try:
        asyncio.run(main())
    finally:
        uninstrument()
    assert [(entry.status, entry.usage.total_tokens, entry.stream) for entry in sink.final] == [
        ("success", 11, None), ("success", 11, True), ("success", 11, None),
    ]  # fmt: skip
    assert sink.final[0].response == "Hi"
