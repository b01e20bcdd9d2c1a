"""The cache around `rates.resolve_rates`: rates found before, so that an answer need not import the price list.

The file is named by the versions of this package and of the list, and by the content of the user's own rates, so its
content cannot become outdated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..cache.store import key_of, make_private, read_file, write_file
from .overrides import Override
from .rates import Product, Rate, list_version, resolve_rates

__all__ = ["RateCache"]


class RateCache:
    """Find rates as `resolve_rates` does, and keep them.

    Args:
        folder: Where their file lies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, products: Iterable[Product], overrides: Sequence[Override]) -> list[Rate]:
        """Return the rates of these kinds of request, from the file or, the first time, from the list."""
        identity = [list_version(), [repr(override) for override in overrides]]
        path = self._folder / f"rates-{key_of(identity)}.json"
        known = _read(path)
        wanted = list(products)
        missing = [product for product in wanted if json.dumps(product) not in known]
        if missing:
            found: dict[str, list[Rate]] = {json.dumps(product): [] for product in missing}
            for rate in resolve_rates(missing, overrides):
                found[json.dumps(rate.product)].append(rate)
            known.update(found)
            _write(path, known)
        return [rate for product in wanted for rate in known[json.dumps(product)]]


def _read(path: Path) -> dict[str, list[Rate]]:
    try:
        content = json.loads(read_file(path))
        return {product: [_rate(item) for item in rates] for product, rates in content.items()}
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError):
        return {}


def _write(path: Path, known: Mapping[str, Sequence[Rate]]) -> None:
    content = {product: [_plain(rate) for rate in rates] for product, rates in known.items()}
    try:
        make_private(path.parent)
        write_file(path, json.dumps(content).encode())
    except OSError:
        return


def _plain(rate: Rate) -> dict[str, Any]:
    values = {name: getattr(rate, name) for name in Rate.__slots__}
    return {
        **values,
        "since": rate.since.isoformat(),
        "until": rate.until.isoformat(),
        "request": str(rate.request),
        "tokens": [str(value) for value in rate.tokens],
        "listed": dict(rate.listed),
    }


def _rate(item: Mapping[str, Any]) -> Rate:
    return Rate(
        **{
            **item,
            "product": Product(*item["product"]),
            "since": datetime.fromisoformat(item["since"]),
            "until": datetime.fromisoformat(item["until"]),
            "request": Decimal(item["request"]),
            "tokens": tuple(Decimal(value) for value in item["tokens"]),
        }
    )
