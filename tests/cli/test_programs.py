"""Every command as a real process, once."""

import json

import pytest

from llm_logging.cli.registry import COMMANDS
from tests.cli.logged import uid

# They serve, take a file, or need a place to store things in; their own tests run them.
ELSEWHERE = {"pretty", "preset", "view", "ship", "publish", "run"}
CASES = {
    "stats": (["stats", "--by", "model"], "gpt-4o"),
    "daily": (["daily"], "2026-01-10"),
    "weekly": (["weekly"], "2026-W02"),
    "monthly": (["monthly"], "2026-01"),
    "models": (["models"], "gpt-4o"),
    "projects": (["projects"], "shop"),
    "errors": (["errors"], "rate_limit"),
    "diff": (["diff", "2026-01-10", "2026-01-11"], "requests"),
    "prices": (["prices"], "genai-prices"),
    "requests": (["requests", "-n", "0"], "gpt-4o"),
    "show": (["show", uid(3)], "model"),
    "search": (["search", "question 7"], "question 7"),
    "export": (["export", "--format", "jsonl"], "gpt-4o"),
    "chats": (["chats"], "c-0"),
    "check": (["check", "requests > 1"], "OK: requests > 1: 30"),
    "tree": (["tree", uid(3)], "gpt-4o"),
    "sql": (["sql", "select model from requests"], "gpt-4o"),
    "report": (["report", "--format", "markdown"], "Cost over time"),
    "metrics": (["metrics"], "# EOF"),
    "tail": (["tail"], "gpt-4o"),
    "doctor": (["doctor"], "permissions"),
    "verify": (["verify"], "sealed"),
    "forget": (["forget", "--user", "u1", "--dry-run"], "would be removed"),
    "prune": (["prune", "--older-than", "1d", "--dry-run"], "would be deleted"),
}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ELSEWHERE])
def test_each_command_runs_as_a_program(program, logged, command):
    arguments, expected = CASES[command]
    result = program(*arguments, "--root", logged)
    assert "Traceback" not in result.err
    assert result.status == 0
    assert expected in result.out
    assert "\x1b" not in result.out
    assert "\u202e" not in result.out


def test_preset_prints_what_dictconfig_takes(program, cli, tmp_path):
    import logging.config

    from llm_logging import presets

    listed = program("preset")
    assert all(name in listed.out for name in presets.NAMES)
    for name in presets.NAMES:
        result = cli("preset", name, "--root", tmp_path / "logs", "--level", "WARNING")
        assert result.status == 0
        config = json.loads(result.out)
        assert config == json.loads(
            json.dumps(getattr(presets, name)(root=str(tmp_path / "logs"), level="WARNING"))
        )
        assert config["root"]["level"] == "WARNING"
        logging.config.DictConfigurator(config)
    changed = json.loads(cli("preset", "production", "--set", "backup_count=3", "--set", "content=full").out)
    assert changed["handlers"]["llm_files"]["backup_count"] == 3
    assert cli("preset", "none").status == 2
    assert cli("preset", "production", "--level", "LOUD").status == 2
