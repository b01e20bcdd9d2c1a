import pytest

from llm_logging.cli.app import EXIT_STATUSES
from llm_logging.cli.registry import COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(cli, command):
    result = cli(command, "--help")
    assert result.status == 0
    assert "Example" in result.out
    assert f"llm-logging {command}" in result.out
    assert "[default: None]" not in result.out
    assert "\x1b" not in result.out


@pytest.mark.parametrize("width", ["60", "80", "120"])
def test_help_fits_the_terminal(cli, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    for command in COMMANDS:
        lines = cli(command, "--help").out.splitlines()
        boxed = [line for line in lines if line.startswith(("│", "╭", "╰"))]
        assert max(len(line) for line in boxed) <= int(width)


def test_the_help_lists_every_command_and_exit_status(program):
    result = program("--help")
    assert result.status == 0
    for command in COMMANDS:
        assert f" {command} " in result.out
    words = " ".join(result.out.replace("│", " ").split())
    for status, meaning in EXIT_STATUSES.items():
        assert f"{status} {meaning}" in words


def test_the_version_is_that_of_the_package(cli):
    from importlib.metadata import PackageNotFoundError, version

    try:
        expected = version("llm-logging")
    except PackageNotFoundError:
        pytest.skip("the package is not installed, only its source is on the path")
    assert cli("--version").out == f"llm-logging {expected}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["stats", "--nonsense"],
        ["stats", "--format", "xml"],
        ["show"],
        ["stats", "--limit", "-1"],
    ],
)
def test_what_is_not_understood_ends_with_2(cli, arguments):
    result = cli(*arguments)
    assert result.status == 2
    assert result.out == ""
    assert "Error" in result.err


def test_without_arguments_there_is_help(cli):
    result = cli()
    assert "Usage" in result.out + result.err
    assert result.status in {0, 2}


def test_shells_get_completion(program):
    result = program("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert result.status == 0
    assert "_LLM_LOGGING_COMPLETE" in result.out


def test_completion_knows_the_commands():
    import os
    import subprocess
    import sys

    from tests.cli.conftest import environment

    done = subprocess.run(
        [sys.executable, "-m", "llm_logging"],
        env=environment(_LLM_LOGGING_COMPLETE="complete_bash", COMP_WORDS="llm-logging da", COMP_CWORD="1"),
        capture_output=True,
        check=False,
        timeout=60,
        cwd=os.getcwd(),
    )
    assert done.stdout.decode().split() == ["daily"]


@pytest.mark.parametrize("package", ["typer", "rich", "duckdb"])
def test_without_the_extra_it_says_what_to_install(package, logged):
    import subprocess
    import sys

    from tests.cli.conftest import environment

    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['llm-logging', 'stats', '--root', {str(logged)!r}]; "
        "import runpy; runpy.run_module('llm_logging', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 4
    assert b"pip install 'llm-logging[stats]'" in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
