"""What the public functions are given, checked where they are called: a wrong type is our own error, with what was expected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import IO, Any, TypedDict

from ...errors import ErrorCode, ValidationError
from ...files.layout import Layout, find_root

__all__ = [
    "Files",
    "Progress",
    "ReadingOptions",
    "check_files",
    "check_keywords",
    "check_place",
    "check_request",
    "expect",
    "reading_layout",
]

Files = str | os.PathLike[str] | IO[Any] | Iterable[str | os.PathLike[str] | IO[Any]]
Progress = Callable[[int, int], object]


class ReadingOptions(TypedDict, total=False):
    """The keywords of `get_stats` that its short forms take too; see there."""

    root: str | os.PathLike[str] | None
    files: Files | None
    cache: bool
    cache_dir: str | os.PathLike[str] | None
    prices: str | os.PathLike[str] | None
    now: datetime | None
    progress: Progress | None


def check_keywords(function: str, given: Mapping[str, Any]) -> None:
    """Refuse keywords that are not among `ReadingOptions`, as Python does for a signature.

    Raises:
        TypeError: Names the function that was called.
    """
    for name in given:
        if name not in ReadingOptions.__annotations__:
            known = ", ".join(ReadingOptions.__annotations__)
            raise TypeError(
                f"{function}() got an unexpected keyword argument {name!r}; expected some of {known}"
            )


def expect(name: str, value: Any, kinds: type | tuple[type, ...], wording: str) -> None:
    """Refuse a value that is of none of some types.

    Raises:
        ValidationError: `INVALID_OPTIONS`, with name, what was expected and what came.
    """
    if not isinstance(value, kinds):
        message = f"{name}: expected {wording}, got {type(value).__name__}"
        raise ValidationError(message, code=ErrorCode.INVALID_OPTIONS, reasons=(message,))


def check_place(name: str, value: Any) -> None:
    """Refuse what is neither a path nor None."""
    expect(name, value, (str, os.PathLike, type(None)), "a path or None")


def check_files(files: Any) -> None:
    """Refuse what is neither None nor files as `get_stats` takes them."""
    stream = hasattr(files, "read")
    if files is not None and not stream:
        expect(
            "files",
            files,
            (str, os.PathLike, Iterable),
            "a path, a pattern, a folder, an open stream or several",
        )
    if isinstance(files, (Mapping, bytes, bytearray)):
        expect("files", files, (), "a path, a pattern, a folder, an open stream or several")


def check_request(*, root: Any = None, files: Any = None, now: Any = None) -> None:
    """Refuse a root, files or a time of another type."""
    check_place("root", root)
    check_files(files)
    expect("now", now, (datetime, type(None)), "a datetime or None")


def reading_layout(root: Any) -> Layout:
    """Return the layout of the root that a question is about; see `files.layout.find_root`.

    Raises:
        ValidationError: The root is not a path.
    """
    check_place("root", root)
    found, why = find_root(root)
    return Layout(found, why=why)
