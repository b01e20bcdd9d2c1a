"""Placeholder until manifests land."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def record_sealed(active: Path, segment: Path, *, key: bytes | None = None) -> None:
    """Note nothing."""


def record_removed(active: Path, segments: Sequence[Path], *, reason: str, key: bytes | None = None) -> None:
    """Note nothing."""
