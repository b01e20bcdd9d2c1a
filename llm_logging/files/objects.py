"""Where whole files lie under keys: a folder, or a bucket of an object store.

One small protocol with two implementations: `FolderStore` here, `object_store.BucketStore` for S3, Google Cloud Storage and Azure.
A key is a relative path with `/`. An object is written whole or not at all, and `put_if_absent` never replaces one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from ..errors import ErrorCode, ValidationError
from .renaming import rename_new

__all__ = ["FolderStore", "ObjectStore", "Stored", "is_url", "open_store"]

_URL: Final = re.compile(r"(s3|s3a|gs|gcs|az|azure|abfs|abfss|adl|file)://", re.IGNORECASE)
_ANY_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as a listing shows it.

    Attributes:
        key: Its name, relative to the store.
        size: Bytes.
        etag: Changes whenever the content does; without quotes.
    """

    key: str
    size: int
    etag: str


class ObjectStore(Protocol):
    """Objects under one URL.

    Every method raises `FileSystemError` where the store refuses or cannot be reached.

    Attributes:
        url: What the store was opened by, without a slash at its end.
    """

    url: str

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Yield the objects whose keys begin with a prefix that ends in `/`; all without one."""

    def read(self, key: str) -> Iterator[bytes]:
        """Yield an object's content in blocks.

        Raises:
            FileNotFoundError: There is none.
        """

    def stat(self, key: str) -> Stored | None:
        """Return what is known of an object; None where there is none."""

    def put_if_absent(self, key: str, source: Path) -> bool:
        """Store a file's content, unless the key is taken; say whether it was stored."""

    def put(self, key: str, content: bytes) -> None:
        """Store content that changes, replacing what is there."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""


def is_url(place: object) -> bool:
    """Say whether a root or a destination is a URL of a store, and not a folder."""
    return isinstance(place, str) and _ANY_URL.match(place) is not None


def open_store(place: str | os.PathLike[str]) -> ObjectStore:
    """Open a store; nothing is asked of it yet.

    Args:
        place: `s3://bucket/prefix`, `gs://...`, `az://...`, `file:///folder`, or a folder.

    Raises:
        ConfigurationError: `MISSING_DEPENDENCY`, where the package for object stores is not installed.
        ValidationError: `INVALID_OPTIONS`, for a URL of another kind.
    """
    text = os.fspath(place)
    if not is_url(text):
        return FolderStore(Path(os.path.abspath(os.path.expanduser(text))))  # noqa: PTH100, PTH111  as `layout.resolve_root`
    if _URL.match(text) is None:
        raise ValidationError(
            f"{text}: expected s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///folder or a folder",
            code=ErrorCode.INVALID_OPTIONS,
        )
    parts = urlsplit(text)
    if parts.scheme.lower() == "file":
        return FolderStore(Path(unquote(parts.path)), text.rstrip("/"))
    if not parts.netloc:
        raise ValidationError(
            f"{text}: expected the name of a bucket after {parts.scheme}://", code=ErrorCode.INVALID_OPTIONS
        )
    from .object_store import BucketStore

    return BucketStore(text.rstrip("/"))


class FolderStore:
    """Objects as the files of a folder.

    Args:
        folder: It is made with the first object.
        url: What the store is called; absent, the folder's path.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self._folder = folder
        self.url = url if url is not None else os.fspath(folder)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """See `ObjectStore`."""
        for folder, _, names in os.walk(self._folder / prefix):
            for name in sorted(names):
                path = Path(folder, name)
                found = None if name.startswith(".") else self.stat(path.relative_to(self._folder).as_posix())
                if found is not None:
                    yield found

    def read(self, key: str) -> Iterator[bytes]:
        """See `ObjectStore`."""
        with (self._folder / key).open("rb") as file:
            while block := file.read(_BLOCK):
                yield block

    def stat(self, key: str) -> Stored | None:
        """See `ObjectStore`."""
        try:
            status = (self._folder / key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stored(key, status.st_size, f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}")

    def put_if_absent(self, key: str, source: Path) -> bool:
        """See `ObjectStore`."""
        if (self._folder / key).exists():
            return False
        with source.open("rb") as file, self._whole(key) as (target, temporary):
            while block := file.read(_BLOCK):
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
            try:
                rename_new(temporary, self._folder / key)
            except FileExistsError:
                return False
        return True

    def put(self, key: str, content: bytes) -> None:
        """See `ObjectStore`."""
        with self._whole(key) as (target, temporary):
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
            temporary.replace(self._folder / key)

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        (self._folder / key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _whole(self, key: str) -> Iterator[tuple[tempfile._TemporaryFileWrapper[bytes], Path]]:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(prefix=".", dir=path.parent, delete=False) as target:
            temporary = Path(target.name)
            try:
                yield target, temporary
            finally:
                temporary.unlink(missing_ok=True)


def md5_of(path: Path) -> str:
    """Return the MD5 of a file, which most stores give as the ETag of an object that was put as one part."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
