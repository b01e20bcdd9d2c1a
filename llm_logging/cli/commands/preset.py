"""`preset`: a configuration for `logging.config.dictConfig`, to look at, keep or edit."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ... import presets
from ...errors import ErrorCode, ValidationError
from .. import options as opt
from ..render.terminal import dumps

__all__ = ["app"]

app = typer.Typer(rich_markup_mode="rich")


@app.command(
    epilog="Examples:\n\n"
    "\b\n  llm-logging preset production > logging.json\n"
    "  llm-logging preset production --root /var/log/llm --level WARNING --set backup_count=50\n"
    "  python -c 'import json, logging.config as c; c.dictConfig(json.load(open(\"logging.json\")))'"
)
def preset(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help=f"One of {', '.join(presets.NAMES)}. None: list them."),
    ] = None,
    *,
    root: Annotated[
        str | None, typer.Option("--root", "-r", metavar="DIR", help="Folder of the logs.")
    ] = None,
    level: Annotated[
        str | None, typer.Option("--level", metavar="LEVEL", help="Level of the root logger.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another option of the preset; the value is JSON, else text. Repeatable.",
        ),
    ] = None,
) -> None:
    """Print a preset, a dictConfig, as JSON."""
    if name is None:
        for known in presets.NAMES:
            opt.write(f"{known:<14}{_sentence(known)}")
        return
    if name not in presets.NAMES:
        raise ValidationError(
            f"preset: expected one of {', '.join(presets.NAMES)}, got {name!r}",
            code=ErrorCode.INVALID_OPTIONS,
        )
    make: Callable[..., dict[str, Any]] = getattr(presets, name)
    values = dict(_option(text) for text in options or [])
    if root is not None:
        values["root"] = root
    if level is not None:
        values["level"] = level
    opt.write(dumps(make(**values), indent=2))


def _sentence(name: str) -> str:
    text = (inspect.getdoc(getattr(presets, name)) or "").partition("\n")[0]
    return text.removeprefix("Return a configuration ").removeprefix("with ").rstrip(".")


def _option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise ValidationError(f"--set: expected KEY=VALUE, got {text!r}", code=ErrorCode.INVALID_OPTIONS)
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
