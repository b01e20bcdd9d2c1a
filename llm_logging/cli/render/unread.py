"""Say why nothing in a file could be read: what the file is, and the command that makes lines of JSON of it."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ...models.stats import Quality

__all__ = ["all_was_skipped", "hint_for"]

_HEAD: Final = 65_536
_BYTE_ORDER_MARKS: Final = {b"\xff\xfe\x00\x00": "UTF-32", b"\x00\x00\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}  # fmt: skip
_PACKED: Final = {b"\x1f\x8b": "gzip: name it .gz", b"\x28\xb5\x2f\xfd": "Zstandard: name it .zst", b"PK\x03\x04": "a ZIP archive: unpack it"}  # fmt: skip
# What a file that came through a pipe may be, by why its lines were skipped.
_PIPED: Final = {
    "nul_bytes": "perhaps UTF-16 text, expected UTF-8: ... | iconv -f UTF-16 -t UTF-8 | llm-logging ...",
    "binary": "perhaps a compressed file: ... | gzip -dc | llm-logging ...",
    "not_an_object": "perhaps a JSON array, expected one object a line: ... | jq -c '.[]' | llm-logging ...",
}


def all_was_skipped(quality: Quality) -> bool:
    """Say whether no line was read as a request: every one of them was skipped, or there was none."""
    return quality.skipped_lines == quality.lines


def hint_for(files: Sequence[str], quality: Quality) -> str:
    """Return why no line could be used, and what to do.

    Args:
        files: As they were named on the command line.
        quality: Of the answer.
    """
    if not quality.lines:
        return f"nothing is in {', '.join('standard input' if name == '-' else name for name in files[:5])}"
    named = [path for name in files for path in _paths(name)]
    kinds = {path: kind for path in named[:100] if (kind := _kind_of(path)) is not None}
    said = f"none of the {quality.lines:,} lines could be read as a request ({_reasons(quality.skipped)})."
    lines = [f"{path}: {kind}" for path, kind in list(kinds.items())[:5]]
    if not lines and "-" in files:
        lines = [kind for reason, kind in _PIPED.items() if reason in quality.skipped][:1]
    if not lines:
        lines = [
            "expected one JSON object per line, with a model and token counts; `llm-logging pretty` prints the lines"
        ]
    return "\n".join([said, *lines])


def _reasons(skipped: Mapping[str, int]) -> str:
    return ", ".join(
        f"{count:,} {reason}" for reason, count in sorted(skipped.items(), key=lambda one: -one[1])[:5]
    )


def _paths(name: str) -> list[Path]:
    if name == "-":
        return []
    path = Path(name)
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted(item for item in path.iterdir() if item.is_file())
    return sorted(Path(item) for item in glob.glob(name, recursive=True))  # noqa: PTH207  patterns may be absolute


def _kind_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    for mark, name in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return f"{name} text, expected UTF-8: iconv -f {name} -t UTF-8 {path.name}"
    for magic, name in _PACKED.items():
        if head.startswith(magic) and path.suffix not in {".gz", ".zst"}:
            return name
    if path.suffix in {".gz", ".zst"}:
        return None
    if head[1:400:2].count(0) > len(head[1:400:2]) // 2 or head[0:400:2].count(0) > len(head[0:400:2]) // 2:
        return f"UTF-16 text, expected UTF-8: iconv -f UTF-16 -t UTF-8 {path.name}"
    if b"\x00" in head:
        return "binary data, expected lines of JSON"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return f"a JSON array, expected one object per line: jq -c '.[]' {path.name}"
    first = text.partition(b"\n")[0].strip()
    if first == b"{" or (first.startswith(b"{") and not first.endswith(b"}")):
        return f"JSON objects over several lines, expected one per line: jq -c . {path.name}"
    if first.startswith(b"<"):
        return "XML or HTML, expected lines of JSON"
    for sign, name in ((b",", "CSV"), (b"\t", "tab-separated values"), (b";", "CSV")):
        if first.count(sign) >= 2 and not first.startswith(b"{"):
            return f"{name}, expected lines of JSON"
    return None
