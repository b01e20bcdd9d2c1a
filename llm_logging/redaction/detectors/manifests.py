"""Secrets of a Kubernetes manifest: what stands under `data:` in a document of `kind: Secret`, whatever its keys are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..matching.prefilter import Span

__all__ = ["Manifests"]

_NEW_LINE = r"(?:\r?\n|(?:\\r)?\\n)"


class Manifests:
    """Find the values of manifests of secrets."""

    scan: str = r"(?i:kind\\*[\"']?:[ \t]*\\*[\"']?secret(?:[\x00-/:-@{-\x7f]|$))"
    low_scan: str = ""
    _kind = re.compile(r"kind\\*[\"']?:[ \t]*+\\*[\"']?secret(?![a-z0-9])")
    _data = re.compile(rf"(?:\A|{_NEW_LINE}|[{{,])[ \t]*+\\*[\"']?(?:string)?data\\*[\"']?:")
    _item = re.compile(
        rf"(?:(?:{_NEW_LINE}|\\t|[ \t,{{])++(?:\#[^\r\n]*+(?:{_NEW_LINE})[ \t]*+)*+)\\*[\"']?[\w.\-]{{1,64}}\\*[\"']?:[ \t]*+"
        rf"(?:[|>][+\-]?[ \t]*+{_NEW_LINE}[ \t]++)?\\*(?P<quote>[\"']?)(?P<value>[A-Za-z0-9+/=]{{8,}}+)?(?:(?:{_NEW_LINE})[ \t]++[A-Za-z0-9+/=]{{16,}}+)*+"
        r"(?P=quote)"
    )
    _document = 4096

    def spans(self, text: str, low: str, start: int, stop: int) -> Iterator[Span]:
        """Yield what begins in text[start:stop]; see `prefilter.Detector`.

        The values may stand before the kind: they are yielded with it, and none twice.
        """
        for kind in self._kind.finditer(low, start, min(len(text), stop + 32)):
            if kind.start() >= stop:
                return
            yield kind.start(), kind.start(), ""
            yield from self._values(text, low, kind.start(), kind.end())

    def _values(self, text: str, low: str, begin: int, end: int) -> Iterator[Span]:
        floor, ceiling = max(0, begin - self._document), min(len(text), end + self._document)
        floor = max(floor, low.rfind("\n---", floor, begin) + 1)
        other = low.find("\n---", end, ceiling)
        ceiling = other if other >= 0 else ceiling
        for data in self._data.finditer(low, floor, ceiling):
            place = data.end()
            while (item := self._item.match(text, place, ceiling)) is not None and item.end() > place:
                place = item.end()
                if item["value"] is not None:
                    yield item.start("value"), place - len(item["quote"]), "secret"
