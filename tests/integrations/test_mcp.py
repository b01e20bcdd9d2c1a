"""Tools that an application calls over MCP, against a server in this process."""

import asyncio

import pytest

from llm_logging.integrations import mcp as integration

session_module = pytest.importorskip("mcp.client.session", reason="mcp is not installed")


def test_tools_are_entries(log, sink):
    from mcp.server.fastmcp import FastMCP
    from mcp.shared.memory import create_connected_server_and_client_session

    server = FastMCP("tools")

    @server.tool()
    def add(a: int, b: int) -> int:
        if b == 0:
            raise ValueError("no zero")
        return a + b

    async def main():
        async with create_connected_server_and_client_session(server._mcp_server) as session:
            with log.request(model="agent", request_type="workflow"):
                bare = await session.call_tool("add", {"a": 1, "b": 2})
                await session.call_tool("add", {"a": 1, "b": 0})
            return bare

    integration.instrument(log, content=True)
    try:
        result = asyncio.run(main())
    finally:
        integration.uninstrument()
    assert result.content[0].text == "3"
    good, bad, workflow = sink.final
    assert (good.model, good.request_type, good.status, good.parent_id) == (
        "add",
        "tool",
        "success",
        workflow.id,
    )
    assert good.messages[0]["tool_calls"] == [{"name": "add", "arguments": {"a": 1, "b": 2}}]
    assert good.response == {"result": 3}
    assert (bad.status, bad.error.code) == ("error", "tool_error")
