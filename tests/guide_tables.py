"""Write the tables of the guide that come from signatures, models and the command line: python -m tests.guide_tables

A table stands in a page between `<!-- table: NAME -->` and `<!-- end -->`; `TABLES` names them all. Run the program after a change of
an option, a field or a help text; `tests/test_guides.py` fails until then. Meanings are the `Args:` and `Attributes:` of docstrings.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from llm_logging import LLMFileHandler, StatsOptions, StatsScope, instrument, presets
from llm_logging.models import entry, stats
from llm_logging.redaction.redactor import Redactor
from tests.guide_pages import PAGES

_MARKED = re.compile(r"(?P<open><!-- table: (?P<name>[\w-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
_SECTION = re.compile(r"^(?:Args|Attributes):\n(?P<body>(?:(?:    .*)?\n)+)", re.MULTILINE)
_ITEM = re.compile(r"^    (?P<name>\**\w+): (?P<text>.*(?:\n {8,}.*)*)", re.MULTILINE)


def meanings(thing: Any) -> dict[str, str]:
    """Return what the docstring of a class or function says about each of its arguments or attributes."""
    found: dict[str, str] = {}
    for section in _SECTION.finditer((inspect.getdoc(thing) or "") + "\n"):
        for item in _ITEM.finditer(section["body"]):
            found[item["name"]] = " ".join(item["text"].split())
    return found


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in cells) + " |"

    heads = list(head)
    return "\n".join([line(heads), "|" + "---|" * len(heads), *(line(row) for row in rows)]) + "\n"


def code(text: str) -> str:
    """Return text as code; nothing for nothing."""
    return f"`{text}`" if text else ""


def value(name: str, default: Any) -> str:
    """Return a default as people write it."""
    if default is inspect.Parameter.empty or default is PydanticUndefined:
        return "required"
    if name.endswith(("_mode", "umask")) and isinstance(default, int):
        return code(oct(default) if default else "0")
    if isinstance(default, int) and not isinstance(default, bool) and default and default % (1 << 20) == 0:
        return f"{default >> 20} MiB"
    if isinstance(default, timedelta):
        return f"{default // timedelta(hours=1)} h"
    if isinstance(default, tuple):
        return code(", ".join(map(str, default)) or "None")
    return code(repr(default).replace("'", '"'))


def options(thing: Callable[..., Any]) -> str:
    """Return the options of a class or function: name, default, meaning."""
    said = meanings(thing)
    if inspect.isclass(thing) and issubclass(thing, BaseModel):
        defaults = {name: field.default for name, field in thing.model_fields.items()}
    else:
        defaults = {
            name: parameter.default for name, parameter in inspect.signature(thing).parameters.items()
        }
    rows = [[code(name), value(name, default), said[name]] for name, default in defaults.items()]
    return table(["option", "default", "meaning"], rows)


def kind(annotation: Any) -> str:
    """Return a type in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(item) for item in arguments if item is not type(None)))
    if origin is typing.Literal:
        return "text"
    if origin in (list, tuple):
        return f"list of {kind(arguments[0])}"
    if origin is dict or annotation is dict:
        return "object"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "object"
    names = {
        str: "text",
        int: "integer",
        float: "number",
        bool: "boolean",
        datetime: "time",
        Decimal: "decimal",
        Any: "any",
    }
    return names[annotation]


def fields(model: type[BaseModel], *, prefix: str = "") -> str:
    """Return the fields of a model: name, type, meaning."""
    said = meanings(model)
    rows = []
    for name, field in model.model_fields.items():
        required = "*" if field.is_required() else ""
        rows.append([f"{code(prefix + name)}{required}", kind(field.annotation), said[name]])
    return table(["field", "type", "meaning"], rows)


def figures(model: type[BaseModel]) -> str:
    """Return the figures of an answer: name, meaning."""
    said = meanings(model)
    return table(["figure", "meaning"], [[code(name), said[name]] for name in model.model_fields])


def preset_table() -> str:
    """Return each preset with its call and what it is for."""
    rows = []
    for name in presets.NAMES:
        make = getattr(presets, name)
        first = (inspect.getdoc(make) or "").partition("\n")[0].rstrip(".")
        rows.append(
            [
                code(f"presets.{name}()"),
                first.removeprefix("Return a configuration ").removeprefix("with ").removeprefix("that "),
            ]
        )
    return table(["preset", "what it does"], rows)


def preset_options() -> str:
    """Return the defaults of the options that presets name themselves."""
    made = {name: inspect.signature(getattr(presets, name)).parameters for name in presets.NAMES}
    names = dict.fromkeys(name for parameters in made.values() for name in parameters if name != "options")
    said = {
        name: text
        for preset in reversed(presets.NAMES)
        for name, text in meanings(getattr(presets, preset)).items()
    }
    said |= {name: meanings(LLMFileHandler)[name] for name in names if said[name].startswith("As in")}
    said["root"] = meanings(LLMFileHandler)["root"] + " Unused by `container` and `testing`."
    rows = []
    for name in names:
        defaults = [
            value(name, made[preset][name].default) if name in made[preset] else "–"
            for preset in presets.NAMES
        ]
        rows.append([code(name), *defaults, said[name]])
    return table(["option", *presets.NAMES, "meaning"], rows)


# -- the command line ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Option:
    """An option or argument of a command.

    Args:
        usage: How it is written, `--root DIR, -r`; of an argument its name.
        text: Its help, with its default.
        argument: Whether it is an argument.
        required: Whether it must be given.
    """

    usage: str
    text: str
    argument: bool
    required: bool


def _functions() -> dict[str, Callable[..., Any]]:
    """Return the function of each command, whose annotations are its options."""
    from llm_logging.cli import registry

    found = {}
    for name, module in registry.COMMANDS.items():
        app = importlib.import_module(f"llm_logging.cli.{module}").app
        for made in app.registered_commands:
            if name in (made.name, made.callback.__name__):
                found[name] = made.callback
                break
    assert list(found) == list(registry.COMMANDS)
    return found


def _option(parameter: inspect.Parameter, annotation: Any) -> Option:
    annotated, info = typing.get_args(annotation)[:2]
    kinds = [item for item in typing.get_args(annotated) or (annotated,) if item is not type(None)]
    shown = parameter.default
    required = shown is inspect.Parameter.empty
    if isinstance(info, typer.models.ArgumentInfo):
        return Option(str(info.metavar), info.help or "", argument=True, required=required)
    # In `Annotated` the first name stands where a default would.
    names = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    default = (
        "" if required or shown in (None, True, False) else f" Default: {getattr(shown, 'value', shown)}."
    )
    metavar = info.metavar or ""
    if inspect.isclass(kinds[0]) and issubclass(kinds[0], StrEnum):
        metavar = "|".join(kinds[0])
    return Option(
        ", ".join(names) + (f" {metavar}" if metavar else ""),
        (info.help or "") + default,
        argument=False,
        required=required,
    )


def _options(function: Callable[..., Any]) -> list[Option]:
    hints = typing.get_type_hints(inspect.unwrap(function), include_extras=True)
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    return [_option(parameter, hints[parameter.name]) for parameter in parameters]


def commands() -> str:
    """Return all commands: name, what it does."""
    rows = []
    for name, function in _functions().items():
        arguments = [made for made in _options(function) if made.argument]
        usage = " ".join([name, *(made.usage if made.required else f"[{made.usage}]" for made in arguments)])
        first = (inspect.getdoc(function) or "").partition("\n\n")[0]
        rows.append([code(usage), " ".join(first.split())])
    return table(["command", "what it does"], rows)


def _rows() -> dict[tuple[str, str], list[str]]:
    """Return each option, and the commands that take it."""
    takers: dict[tuple[str, str], list[str]] = {}
    for name, function in _functions().items():
        for made in _options(function):
            if not made.argument:
                takers.setdefault((made.usage, made.text), []).append(name)
    return takers


_SHORT_CUTS = ("daily", "weekly", "monthly", "models", "projects")


def _without_short_cuts(names: list[str]) -> list[str]:
    return [name for name in names if name not in _SHORT_CUTS]


def shared_options() -> str:
    """Return the options that several commands take: option, meaning, commands."""
    rows = []
    for (option, text), names in _rows().items():
        takers = _without_short_cuts(names)
        if len(takers) > 1:
            rows.append([code(option), text, " ".join(takers)])
    return table(["option", "meaning", "commands"], rows)


def own_options() -> str:
    """Return the options that one command takes: command, option, meaning."""
    rows = []
    for (option, text), names in _rows().items():
        takers = _without_short_cuts(names)
        if len(takers) == 1:
            rows.append([code(takers[0]), code(option), text])
    return table(
        ["command", "option", "meaning"],
        sorted(rows, key=lambda row: list(_functions()).index(row[0].strip("`"))),
    )


def exit_statuses() -> str:
    """Return the exit statuses of the command line."""
    from llm_logging.cli.app import EXIT_STATUSES

    return table(["status", "meaning"], [[str(status), text] for status, text in EXIT_STATUSES.items()])


def rates_file() -> str:
    """Return the example of a file of rates, as its module has it."""
    from llm_logging.reader.pricing import overrides

    text = inspect.getdoc(overrides) or ""
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    return "```toml\n" + "\n".join(lines) + "\n```\n"


TABLES: dict[str, Callable[[], str]] = {
    "handler-options": lambda: options(LLMFileHandler),
    "instrument-options": lambda: options(instrument),
    "presets": preset_table,
    "preset-options": preset_options,
    "redactor-options": lambda: options(Redactor),
    "stats-scope": lambda: options(StatsScope),
    "stats-options": lambda: options(StatsOptions),
    "figures": lambda: figures(stats.Figures),
    "quality": lambda: figures(stats.Quality),
    "entry": lambda: fields(entry.LLMRequestLogEntry),
    "usage": lambda: fields(entry.Usage, prefix="usage."),
    "timings": lambda: fields(entry.Timings, prefix="timings."),
    "error": lambda: fields(entry.ErrorInfo, prefix="error."),
    "cost": lambda: fields(entry.Cost, prefix="cost."),
    "writer": lambda: fields(entry.Writer, prefix="writer."),
    "event": lambda: fields(entry.Event),
    "chat-message": lambda: fields(entry.ChatMessage),
    "llm-info": lambda: fields(entry.ChatLLMInfo, prefix="llm_info."),
    "commands": commands,
    "shared-options": shared_options,
    "own-options": own_options,
    "exit-statuses": exit_statuses,
    "rates-file": rates_file,
}


def written(text: str) -> str:
    """Return a page with its tables as they should be.

    Raises:
        KeyError: A table of no known name.
    """
    return _MARKED.sub(lambda found: f"{found['open']}\n{TABLES[found['name']]()}\n{found['close']}", text)


def names_in(text: str) -> list[str]:
    """Return the names of the tables in a page."""
    return [found["name"] for found in _MARKED.finditer(text)]


def main() -> int:
    """Write the tables into the pages."""
    for page in PAGES:
        text = page.read_text("utf-8")
        new = written(text)
        if new != text:
            Path(page).write_text(new, "utf-8")
            print(f"{page.name}: written anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
