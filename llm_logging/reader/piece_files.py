"""Make the columns of a sealed segment as a file of its own, to be stored beside the segment."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from ..files.layout import LogKind
from ..files.segments import parse_segment_name
from .lines.duckdb_engine import connect
from .lines.log_files import Log, open_logs
from .segments.index import SegmentCache
from .segments.parquet import Span, make_piece
from .segments.shipped import piece_ending, write_shipped

__all__ = ["make_piece_file"]


def make_piece_file(segment: Path, target: Path) -> str | None:
    """Write the columns of a segment of requests.

    Args:
        segment: A sealed segment, plain or compressed.
        target: The file to write.

    Returns:
        How the name of the file is to end; None, and nothing is written, for a segment of other lines, which has no columns.
    """
    parsed = parse_segment_name(segment)
    if parsed is None or parsed.stem != LogKind.REQUESTS.value:
        return None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (file,) = open_logs([Log(parsed.key, None, (segment,), (parsed.key,))], stack)
        cache = SegmentCache(folder, parsed.key)
        cache.make_folder()
        db = connect()
        stack.callback(db.close)
        piece = make_piece(db.cursor(), Span(file, 0, 0, file.size, cache, cache.begin(file)))
        write_shipped(cache.path(piece), piece, target)
    return piece_ending()
