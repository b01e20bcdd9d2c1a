"""Holding the files of a root against their manifests: what was changed, removed, inserted or moved.

What it can tell: any change to a sealed segment's bytes, a sealed segment that is gone without a note, a file that was
never noted, two segments whose contents were exchanged, and a manifest whose lines were changed, moved or cut out.
What it cannot tell without a key or a head kept elsewhere: a manifest written anew as a whole, or cut at its end
together with the segments noted there. The active file is not sealed yet.

Others may rotate, compress, prune and forget meanwhile, and the manifest and the folder cannot be read at one instant. So a log in
which something seems wrong is looked at again, and what is found is what two looks in a row agree on.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from ..errors import ErrorCode, NotFoundError
from ..files.compression import open_segment
from ..files.safe_open import read_regular
from ..files.segments import Segment, as_found, folder_names, list_segments, parse_segment_name
from .manifest import FIRST, ManifestEntry, line_hash, line_mac, manifest_path, parsed, plain_name

__all__ = ["Finding", "LogReport", "VerifyReport", "check_chain", "logs_below", "verify"]

_BLOCK: Final = 1 << 20
_LOOKS: Final = 5
_PAUSE: Final = 0.05

Problem = Literal[
    "changed",  # a segment's bytes are not those that were sealed
    "removed",  # a sealed segment is gone, and no prune is noted
    "inserted",  # a segment that nobody noted lies among noted ones
    "reordered",  # a segment holds what was sealed as another
    "restored",  # a segment that was pruned or replaced is there again
    "unreadable",  # a segment could not be read to its end
    "manifest",  # a line of the manifest is changed, cut out, moved or not signed
    "head",  # the head that was kept elsewhere is not in the chain
]


class Finding(BaseModel):
    """One thing that is not as it was sealed."""

    model_config = ConfigDict(frozen=True)

    problem: Problem
    where: str
    detail: str


class LogReport(BaseModel):
    """What was found of one log.

    Attributes:
        log: The active file, relative to the root.
        manifest_entries: Lines of its manifest.
        sealed: Segments whose bytes are what was sealed.
        pruned: Segments that were removed and noted.
        not_sealed: Files that no entry covers yet: the active file, and segments newer than the manifest.
        head: SHA-256 of the manifest's last line, to be kept elsewhere; None where there is no manifest.
        findings: What is wrong.
    """

    model_config = ConfigDict(frozen=True)

    log: str
    manifest_entries: int
    sealed: int
    pruned: int
    not_sealed: list[str]
    head: str | None
    findings: list[Finding]


class VerifyReport(BaseModel):
    """What was found under a root; `ok` where nothing is wrong."""

    model_config = ConfigDict(frozen=True)

    root: str
    ok: bool
    signed: bool
    logs: list[LogReport]

    @property
    def findings(self) -> list[Finding]:
        """All that is wrong, log by log."""
        return [finding for log in self.logs for finding in log.findings]

    @property
    def heads(self) -> dict[str, str]:
        """The head of each log's manifest, to be kept where nobody who can write here can write."""
        return {log.log: log.head for log in self.logs if log.head is not None}


def verify(root: Path, *, key: bytes | None = None, heads: Mapping[str, str] | None = None) -> VerifyReport:
    """Hold all sealed segments under a root against their manifests.

    Args:
        root: The folder.
        key: The key that entries are signed with; None leaves signatures unchecked.
        heads: Heads kept from an earlier report, log to head; a chain that does not contain its head was cut or
            written anew.

    Returns:
        A report; nothing is changed.

    Raises:
        NotFoundError: There is no such folder.
    """
    if not root.is_dir():
        raise NotFoundError(f"{root}: expected a folder with logs, found none", code=ErrorCode.ROOT_NOT_FOUND)
    kept = heads or {}
    names = {path.relative_to(root).as_posix(): path for path in logs_below(root)}
    for name in kept:
        names.setdefault(name, root / name)
    logs = [_settled(root, path, key, kept.get(name)) for name, path in sorted(names.items())]
    return VerifyReport(
        root=str(root), ok=not any(log.findings for log in logs), signed=key is not None, logs=logs
    )


def logs_below(root: Path) -> Iterator[Path]:
    """Yield the active file of every log below a folder, also of those of which only a manifest is left."""
    for folder, folders, _ in os.walk(root):
        stems: set[str] = set()
        for name in folder_names(Path(folder)):
            if name.startswith(".") or name in folders:
                continue
            segment = parse_segment_name(Path(name))
            if segment is not None:
                stems.add(segment.stem)
            elif name.endswith((".jsonl", ".manifest")):
                stems.add(name.removesuffix(".jsonl").removesuffix(".manifest"))
        for stem in sorted(stems):
            yield Path(folder) / f"{stem}.jsonl"


def _settled(root: Path, active: Path, key: bytes | None, head: str | None) -> LogReport:
    digests: dict[tuple[int, ...], tuple[str, int]] = {}
    report = _verify_log(root, active, key, head, digests)
    for _ in range(_LOOKS):
        last = report.findings
        if not last:
            break
        time.sleep(_PAUSE)
        report = _verify_log(root, active, key, head, digests)
        if report.findings == last:
            break
    return report


def _verify_log(
    root: Path,
    active: Path,
    key: bytes | None,
    head: str | None,
    digests: dict[tuple[int, ...], tuple[str, int]],
) -> LogReport:
    findings: list[Finding] = []
    lines = _manifest_lines(root, active, findings)
    entries = check_chain(_relative(root, manifest_path(active)), lines, key, findings)
    if head is not None and head not in {line_hash(line) for line in lines}:
        findings.append(
            Finding(
                problem="head",
                where=_relative(root, manifest_path(active)),
                detail=f"expected a line with SHA-256 {head}, kept elsewhere; the manifest was cut or written anew",
            )
        )
    live: dict[str, ManifestEntry] = {}
    past: dict[str, str] = {}
    for entry in entries:
        if entry.action == "removed":
            live.pop(entry.segment, None)
            past[entry.segment] = "was pruned"
        if not entry.measured:
            continue
        if entry.replaces is not None:
            live.pop(entry.replaces, None)
            past[entry.replaces] = f"was replaced by {entry.segment}"
        if entry.segment not in past:
            live[entry.segment] = entry
    not_sealed: list[str] = []
    present = _check_files(root, active, live, past, findings, not_sealed, digests)
    findings.extend(
        Finding(
            problem="removed",
            where=_relative(root, active.with_name(name)),
            detail=f"sealed {live[name].time} with {live[name].lines} lines, gone without a note",
        )
        for name in live.keys() - present
    )
    bad = {finding.where for finding in findings}
    return LogReport(
        log=_relative(root, active),
        manifest_entries=len(lines),
        sealed=sum(_relative(root, active.with_name(name)) not in bad for name in live),
        pruned=sum(entry.action == "removed" for entry in entries),
        not_sealed=not_sealed,
        head=line_hash(lines[-1]) if lines else None,
        findings=sorted(findings, key=lambda finding: (finding.where, finding.problem)),
    )


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _manifest_lines(root: Path, active: Path, findings: list[Finding]) -> list[bytes]:
    try:
        data = read_regular(manifest_path(active))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        where = _relative(root, manifest_path(active))
        findings.append(
            Finding(problem="manifest", where=where, detail=f"could not be read: {error.strerror or error}")
        )
        return []
    # A torn last line is a crash, not a change: the next entry takes its place.
    return data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]


def check_chain(
    where: str, lines: list[bytes], key: bytes | None, findings: list[Finding]
) -> list[ManifestEntry]:
    """Check the chain of a manifest's lines.

    Args:
        where: What the manifest is called in findings.
        lines: Its lines, without their ends.
        key: Checks signatures; None leaves them unchecked.
        findings: Takes what is wrong.

    Returns:
        The entries.
    """
    entries: list[ManifestEntry] = []
    previous = FIRST
    for number, line in enumerate(lines, start=1):
        entry = parsed(line)
        if entry is None:
            findings.append(
                Finding(
                    problem="manifest",
                    where=where,
                    detail=f"line {number}: expected an entry, got other text",
                )
            )
        else:
            if entry.previous != previous:
                findings.append(
                    Finding(
                        problem="manifest",
                        where=where,
                        detail=f"line {number}: the line before it was changed, cut out or moved",
                    )
                )
            if key is not None and not _signed(line, entry, key):
                findings.append(
                    Finding(
                        problem="manifest", where=where, detail=f"line {number}: not signed with this key"
                    )
                )
            entries.append(entry)
        previous = line_hash(line)
    return entries


def _signed(line: bytes, entry: ManifestEntry, key: bytes) -> bool:
    return entry.mac is not None and hmac.compare_digest(line_mac(from_json(line), key), entry.mac)


def _digest(path: Path, most: int, digests: dict[tuple[int, ...], tuple[str, int]]) -> tuple[str, int]:
    """Return the SHA-256 of a segment and its size.

    Args:
        path: Plain or compressed.
        most: What it should have.
        digests: What files that are as they were had at an earlier look.
    """
    info = as_found(path, os.stat)
    known = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns, most)
    if known not in digests:
        digests[known] = _read_digest(path, most)
    return digests[known]


def _read_digest(path: Path, most: int) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    with open_segment(path) as stream:
        # Reading ends behind the sealed size: what is longer is changed, however much it unpacks to.
        while size <= most and (block := stream.read(_BLOCK)):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _check_files(
    root: Path,
    active: Path,
    live: Mapping[str, ManifestEntry],
    past: Mapping[str, str],
    findings: list[Finding],
    not_sealed: list[str],
    digests: dict[tuple[int, ...], tuple[str, int]],
) -> set[str]:
    by_hash = {entry.sha256: name for name, entry in live.items()}
    noted = [parse_segment_name(Path(name)) for name in (*live, *past)]
    newest = max(((one.stamp, one.index) for one in noted if one is not None), default=("", 0))
    present: set[str] = set()
    for segment in list_segments(active, superseded=True):
        name = plain_name(segment.path)
        where = _relative(root, active.with_name(name))
        if segment.active:
            not_sealed.append(_relative(root, segment.path))
        elif name in live:
            present.add(name)
            finding = _check_segment(segment, where, live[name], by_hash, digests)
            if finding is not None:
                findings.append(finding)
        elif name in past:
            findings.append(Finding(problem="restored", where=where, detail=f"is there, but {past[name]}"))
        elif (segment.stamp, segment.index) > newest:
            not_sealed.append(_relative(root, segment.path))
        else:
            findings.append(
                Finding(
                    problem="inserted",
                    where=where,
                    detail="lies among sealed segments and is in no manifest",
                )
            )
    return present


def _check_segment(
    segment: Segment,
    where: str,
    entry: ManifestEntry,
    by_hash: Mapping[str, str],
    digests: dict[tuple[int, ...], tuple[str, int]],
) -> Finding | None:
    try:
        found, size = _digest(segment.path, entry.size, digests)
    except (OSError, EOFError, ValueError) as error:
        return Finding(problem="unreadable", where=where, detail=f"could not be read to its end: {error}")
    if found == entry.sha256:
        return None
    other = by_hash.get(found)
    if other is not None:
        return Finding(problem="reordered", where=where, detail=f"holds what was sealed as {other}")
    return Finding(
        problem="changed",
        where=where,
        detail=f"expected SHA-256 {entry.sha256} over {entry.size} bytes, got {found} over {size if size <= entry.size else 'more'}",
    )
