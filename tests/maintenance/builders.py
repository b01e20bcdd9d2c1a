"""Roots with lines of several users, for tests of maintenance."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

from llm_logging.files.segments import list_segments, segment_name
from llm_logging.maintenance.manifest_notes import record_sealed

KEY = b"0123456789abcdef"


def write(path: Path, documents, *, sealed=None, packed=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = b"".join(json.dumps(document).encode() + b"\n" for document in documents)
    if sealed is None:
        path.write_bytes(text)
        return path
    segment = path.with_name(segment_name(path.stem, datetime(2026, 1, 1, 0, 0, sealed, tzinfo=UTC), 1))
    segment.write_bytes(text)
    record_sealed(path, segment)
    if packed:
        Path(f"{segment}.gz").write_bytes(gzip.compress(text))
        segment.unlink()
    return segment


def read(active: Path):
    found = []
    for segment in list_segments(active):
        data = segment.path.read_bytes()
        data = gzip.decompress(data) if segment.compression else data
        found += [json.loads(part) for part in data.splitlines()]
    return found
