"""Long texts of a request's body, images for the most part, taken out before the body is parsed.

Parsing megabytes would stop the event loop. Where the prompt is kept, each long base64 text is described by its type, its size
and a digest that a thread computes while the request is on its way. An answer that comes before the digest does not wait for
it: the description is then without one.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import threading
from typing import Any, Final

__all__ = ["LARGE", "LargeTexts", "without_long_texts"]

LARGE: Final = 64 * 1024
"""Bodies from this size on have their long texts taken out, where the prompt is not kept."""
_LONG: Final = 8 * 1024
# What is kept of a prompt is parsed whole up to here: the content policy then describes its images itself.
_HUGE: Final = 1024 * 1024
# A multiple of 4, and small enough that other threads are not kept waiting.
_SLICE: Final = 256 * 1024
_SIGNS: Final = tuple(bytes([sign]) for sign in b":,]}[{ \n\r\t")
_DATA_URL: Final = re.compile(rb"data:(?P<media>[\w.+-]+/[\w.+-]+)[^,]{0,64};base64,")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_=-]+")
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
# As long as an answer may be held up for a digest that is nearly there.
_PATIENCE: Final = 0.01


def without_long_texts(body: bytes) -> bytes:
    """Return a JSON body without its long texts.

    What stands outside of texts begins with a sign of JSON's own, and stays. Backslashes at the end of what is cut belong
    to the quote after it, and stay, too.

    Args:
        body: The body.
    """
    return b'"'.join(
        part if len(part) < _LONG or part[:1] in _SIGNS else part[len(part.rstrip(b"\\")) :]
        for part in body.split(b'"')
    )


class LargeTexts:
    """The long base64 texts of one body, described while the request is on its way.

    Args:
        body: The body.

    Attributes:
        body: The body with a mark in the place of each.
    """

    __slots__ = ("_described", "_thread", "body")

    def __init__(self, body: bytes) -> None:
        self._described: dict[str, dict[str, Any]] = {}
        self._thread: threading.Thread | None = None
        self.body = body
        if len(body) < _HUGE:
            return
        parts = body.split(b'"')
        jobs: list[tuple[dict[str, Any], bytes, int]] = []
        for place, part in enumerate(parts):
            if len(part) < _HUGE:
                continue
            url = _DATA_URL.match(part)
            start = url.end() if url is not None else 0
            if not _BASE64.fullmatch(part[start : start + 4096]) or not _BASE64.fullmatch(part[-4096:]):
                continue
            mark = f"llm-logging-large-text-{place}"
            size = (len(part) - start - len(part) + len(part.rstrip(b"="))) * 3 // 4
            media = url["media"].decode() if url is not None else "application/octet-stream"
            self._described[mark] = {"media_type": media, "bytes": size}
            jobs.append((self._described[mark], part, start))
            parts[place] = mark.encode()
        if jobs:
            self.body = b'"'.join(parts)
            self._thread = threading.Thread(
                target=_digest, args=(jobs,), name="llm_logging-digest", daemon=True
            )
            self._thread.start()

    def described(self, value: Any) -> Any:
        """Return messages with a description in the place of each mark."""
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        return self._filled(value) if self._described else value

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            found = self._described.get(value)
            return value if found is None else dict(found)
        if isinstance(value, dict):
            return {name: self._filled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        return value


def _digest(jobs: list[tuple[dict[str, Any], bytes, int]]) -> None:
    for described, text, start in jobs:
        digest = hashlib.sha256()
        try:
            for at in range(start, len(text), _SLICE):
                digest.update(binascii.a2b_base64(text[at : at + _SLICE].translate(_URL_SAFE) + b"=="))
        except ValueError:
            continue
        described["sha256"] = digest.hexdigest()
