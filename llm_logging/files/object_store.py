"""A bucket of S3, Google Cloud Storage, Azure or an S3-compatible service, through the package `obstore`.

Credentials, region and endpoint come from where `obstore` looks for them: the environment (`AWS_ACCESS_KEY_ID`, `AWS_REGION`,
`AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_NAME` ...), else the identity of the machine.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigurationError, ErrorCode, FileSystemError
from .objects import Stored

__all__ = ["BucketStore"]

_RETRIES: Final = 4
_SECONDS: Final = 30
_BLOCK: Final = 1 << 20
_PAGE: Final = 1000

# What the text of an error holds, and what it means to the user.
_MEANINGS: Final = (
    (
        ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"),
        "expected an existing bucket, there is none of this name; create it, or correct the URL",
    ),
    (
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint", "without LOCATION"),
        "the bucket is in another region; set AWS_REGION to the region of the bucket",
    ),
    (
        ("169.254.169.254", "/latest/api/token", "/latest/meta-data", "metadata.google.internal", "169.254.170.2", "MissingAccount", "Account must be"),
        ("expected credentials, found none; set them in the environment (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
        "for an S3-compatible service AWS_ENDPOINT_URL too), or run where the machine has an identity"),
    ),
    (
        ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "status: 403", "status: 401"),
        "the credentials were refused; reading needs the rights to list and get, shipping also to put and delete",
    ),
)  # fmt: skip


def _obstore() -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError as error:
        raise ConfigurationError(
            "object storage needs the package obstore: pip install 'llm-logging[remote]'",
            code=ErrorCode.MISSING_DEPENDENCY,
        ) from error
    return obstore


class BucketStore:
    """Objects of a bucket below a prefix; see `objects.ObjectStore`.

    Args:
        url: `s3://bucket/prefix` and the like.

    Raises:
        ConfigurationError: `obstore` is not installed, or the URL or the environment does not name a store.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._obstore = _obstore()
        wait = timedelta(seconds=_SECONDS)
        client: dict[str, Any] = {"timeout": wait, "connect_timeout": timedelta(seconds=5)}
        if any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS):
            client["allow_http"] = True
        retry = {"max_retries": _RETRIES, "retry_timeout": wait, "backoff": _BACKOFF}
        try:
            self._store = self._obstore.store.from_url(url, client_options=client, retry_config=retry)
        except (self._obstore.exceptions.BaseError, ValueError) as error:
            raise ConfigurationError(f"{url}: {_meaning(error)}") from error

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """See `ObjectStore`."""
        with self._explained("list"):
            for page in self._obstore.list(self._store, prefix or None, chunk_size=_PAGE):
                yield from map(_stored, page)

    def read(self, key: str) -> Iterator[bytes]:
        """See `ObjectStore`."""
        with self._explained("get", key):
            found = self._obstore.get(self._store, key)
            size = 0
            for block in found.stream(min_chunk_size=_BLOCK):
                size += len(block)
                yield bytes(block)
            if size != found.meta["size"]:
                raise FileSystemError(
                    f"{self.url}/{key}: expected {found.meta['size']} bytes, got {size}",
                    code=ErrorCode.LOG_READ_ERROR,
                )

    def stat(self, key: str) -> Stored | None:
        """See `ObjectStore`."""
        try:
            with self._explained("head", key):
                return _stored(self._obstore.head(self._store, key))
        except FileNotFoundError:
            return None

    def put_if_absent(self, key: str, source: Path) -> bool:
        """See `ObjectStore`."""
        taken = (self._obstore.exceptions.AlreadyExistsError, self._obstore.exceptions.PreconditionError)
        with self._explained("put"):
            try:
                self._obstore.put(self._store, key, source, mode="create", use_multipart=False)
            except taken:
                return False
        return True

    def put(self, key: str, content: bytes) -> None:
        """See `ObjectStore`."""
        with self._explained("put"):
            self._obstore.put(self._store, key, content, use_multipart=False)

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with self._explained("delete"):
            self._obstore.delete(self._store, key)

    @contextmanager
    def _explained(self, action: str, key: str | None = None) -> Iterator[None]:
        """Raise our own errors; a missing object is a `FileNotFoundError` where a key is given."""
        errors = self._obstore.exceptions
        _refuse_in_child(self.url)
        try:
            yield
        except (errors.BaseError, OSError) as error:
            if isinstance(error, FileSystemError):
                raise
            missing = isinstance(error, (errors.NotFoundError, FileNotFoundError))
            if missing and key is not None and "NoSuchBucket" not in str(error):
                raise FileNotFoundError(errno.ENOENT, "no such object", f"{self.url}/{key}") from error
            code = ErrorCode.LOG_WRITE_ERROR if action in {"put", "delete"} else ErrorCode.LOG_READ_ERROR
            raise FileSystemError(f"{action} {self.url}: {_meaning(error)}", code=code) from error


_ENDPOINTS: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
_BACKOFF: Final = {
    "init_backoff": timedelta(milliseconds=100),
    "max_backoff": timedelta(seconds=5),
    "base": 2,
}


# The process that has used `obstore`.
_users: set[int] = set()


def _refuse_in_child(url: str) -> None:
    """Refuse to use `obstore` in a child of a process that has used it: its threads are not there, and a call would wait for ever."""
    if _users and os.getpid() not in _users:
        raise FileSystemError(
            f"{url}: this process was forked from one that has used object storage, and cannot use it itself; that process, or "
            "llm-logging ship, ships its files too",
            code=ErrorCode.INVALID_STATE,
        )
    _users.add(os.getpid())


def _stored(meta: Any) -> Stored:
    return Stored(meta["path"], meta["size"], (meta["e_tag"] or "").strip('"'))


def _meaning(error: Exception) -> str:
    text = str(error)
    for marks, meaning in _MEANINGS:
        if any(mark in text for mark in marks):
            return meaning
    # What follows is obstore's own account of the request.
    return " ".join(text.split("Debug source:", maxsplit=1)[0].split()) or type(error).__name__
