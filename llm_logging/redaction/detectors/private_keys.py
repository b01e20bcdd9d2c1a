"""Private keys in PEM and PuTTY form."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..matching.prefilter import Span

__all__ = ["PrivateKeys"]


_NEAR = 64


class PrivateKeys:
    """Find private keys in their text forms: PEM, OpenSSH, PGP and PuTTY, also cut off or escaped."""

    scan: str = r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY|Private-Lines: ?[0-9]"
    low_scan: str = ""
    _between = r"(?:[\s\"'+,]|\\{1,8}[nrt])"
    _pattern = re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:[^-]++|-(?!----))*+-----END [A-Z0-9 ]{0,40}-----"
        rf"|{_between}*+(?:[A-Za-z0-9+/=]{{16,}}+{_between}*+)++[A-Za-z0-9+/=]*+)"
        rf"|Private-Lines: ?[0-9]{{1,4}}(?:{_between}++[A-Za-z0-9+/=]{{16,}}+)++"
    )

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:  # noqa: ARG002
        """Yield what begins in text[start:stop]; see `prefilter.Detector`."""
        while start < stop:
            # Only the beginning lies within reach; the end may be far.
            head = self._begin.search(text, start, min(len(text), stop + _NEAR))
            if head is None or head.start() >= stop:
                return
            found = self._pattern.match(text, head.start())
            if found is not None:
                yield found.start(), found.end(), "private-key"
            else:
                yield head.start(), head.start(), ""
            start = found.end() if found is not None else head.end()

    _begin = re.compile(scan)

    @classmethod
    def end_of_last(cls, text: str, start: int, stop: int) -> int:
        """Return where the last key ends that begins in text[start:stop], or `stop`: a key has many lines."""
        # One that begins before another has ended before it.
        heads = (text.rfind("-----BEGIN ", start, stop), text.rfind("Private-Lines:", start, stop))
        found = [cls._pattern.match(text, head) for head in heads if head >= 0]
        return max([stop, *(match.end() for match in found if match is not None)])
