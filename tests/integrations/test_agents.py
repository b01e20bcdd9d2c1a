"""Agents of the frameworks that are installed, each in a process of its own: counts, content and parents are right.

python -m pytest -m slow tests/integrations/test_agents.py
"""

import importlib.util
import subprocess
import sys

import pytest

from tests import disk
from tests.integrations.frameworks import FRAMEWORKS
from tests.loopback import Answer

pytestmark = pytest.mark.slow

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
}
BEGIN = """
import logging.config, runpy, llm_logging
logging.config.dictConfig(llm_logging.presets.production(root=ROOT, content="full"))
llm_logging.instrument()
log = llm_logging.get_logger(project_id="default", chat_id="default")
with log.request(model="agent", request_type="workflow", pending=False) as workflow:
    runpy.run_path(PROGRAM, {"URL": URL})
"""


def answer(number, message, finish):
    return {
        "id": f"c{number}", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}],
        "usage": {"prompt_tokens": 10 * number, "completion_tokens": number, "total_tokens": 11 * number},
    }  # fmt: skip


def is_installed(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_agent(name, server, tmp_path):
    module, program = FRAMEWORKS[name]
    if not is_installed(module):
        pytest.skip(f"{module} is not installed")
    has_tool = "get_weather" in program
    first = {"content": None, "tool_calls": [CALL]} if has_tool else {"content": "It is sunny"}
    server.play(
        "/chat/completions",
        Answer(answer(1, first, "tool_calls" if has_tool else "stop")),
        Answer(answer(2, {"content": "It is sunny"}, "stop")),
    )
    script, part = tmp_path / "agent.py", tmp_path / "part.py"
    part.write_text(program)
    root = str(tmp_path / "llm")
    script.write_text(f"ROOT = {root!r}\nURL = {server.url + '/v1'!r}\nPROGRAM = {str(part)!r}\n{BEGIN}")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [line for line in disk.requests(tmp_path / "llm") if line["status"] != "pending"]
    requests = [line for line in found if line.get("request_type") is None]
    (workflow,) = (line for line in found if line.get("request_type") == "workflow")
    # Some ask once more for their last word.
    assert [line["usage"]["prompt_tokens"] for line in requests[:3]] in ([10, 20], [10, 20, 20])
    assert {line["parent_id"] for line in requests} == {workflow["id"]}
    kept = {
        line["id"]: line for line in disk.everything(tmp_path / "llm") if line["event_type"] == "llm_content"
    }
    answers = [kept[line["id"]]["response"] for line in requests]
    if has_tool:
        assert answers[0]["tool_calls"] == [
            {"id": "call_1", "name": "get_weather", "arguments": {"city": "Paris"}}
        ]
        assert requests[0]["attributes"]["request"]["tools"][0].endswith("get_weather")
    assert answers[1] == "It is sunny"
