"""The list of commands; the module of each is imported when it runs or when its help is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from .app import EXIT_STATUSES

__all__ = ["COMMANDS", "program"]

# panel of the help -> name -> module that holds it
_PANELS: Final[dict[str, dict[str, str]]] = {
    "Figures": {
        "stats": "commands.stats",
        "daily": "commands.stats",
        "weekly": "commands.stats",
        "monthly": "commands.stats",
        "models": "commands.stats",
        "projects": "commands.stats",
        "errors": "commands.errors",
        "diff": "commands.diff",
        "prices": "commands.diff",
        "chats": "commands.entries",
        "check": "commands.pages",
    },
    "Entries": {
        "requests": "commands.entries",
        "show": "commands.entries",
        "tree": "commands.entries",
        "search": "commands.entries",
        "export": "commands.export",
        "sql": "commands.export",
        "publish": "commands.export",
    },
    "Pages and programs": {
        "report": "commands.pages",
        "view": "commands.pages",
        "metrics": "commands.pages",
    },
    "Lines": {
        "tail": "commands.tail",
        "pretty": "commands.tail",
    },
    "Files and configuration": {
        "doctor": "commands.files",
        "prune": "commands.files",
        "ship": "commands.ship",
        "verify": "commands.privacy",
        "forget": "commands.privacy",
        "preset": "commands.preset",
    },
}
COMMANDS: Final[dict[str, str]] = {
    name: module for panel in _PANELS.values() for name, module in panel.items()
}

_EPILOG: Final = (
    f"Exit status: {'; '.join(f'{status} {meaning}' for status, meaning in EXIT_STATUSES.items())}."
)


class _LazyGroup(TyperGroup):
    """Import the module of a command only when that command is needed; a report should not wait for the others."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names in their order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Return one command; None where there is none of that name."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        app: typer.Typer = import_module(f".{module}", __package__).app
        command = typer.main.get_group(app).commands[cmd_name]
        panel = next(panel for panel, names in _PANELS.items() if cmd_name in names)
        command.rich_help_panel = panel  # type: ignore[attr-defined, unused-ignore]  # typer reads it there
        return command


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"llm-logging {version('llm-logging')}")
        raise typer.Exit


def program() -> Callable[..., Any]:
    """Return the program: call it with the list of arguments and `prog_name`; it ends with `SystemExit`."""
    app = typer.Typer(
        cls=_LazyGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(epilog=_EPILOG)
    def root(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        """Show tokens, cost, latency and errors of your LLM requests, from the files that llm_logging wrote."""

    return typer.main.get_command(app)
