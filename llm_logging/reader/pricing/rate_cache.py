"""Rates that were found before: kept beside the cache, so that an answer need not load the price list again.

The file is named by the versions of this package and of the list, and the content of the user's own rates, so none of
them can go stale in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..cache.store import make_private, package_tag, read_file, write_file
from .overrides import Override
from .rates import EVER, NEVER, Product, Rate, list_version, resolve_rates

__all__ = ["known_rates"]


def _name(overrides: Sequence[Override]) -> str:
    identity = json.dumps([package_tag(), list_version(), [repr(override) for override in overrides]])
    return f"rates-{hashlib.sha256(identity.encode()).hexdigest()[:20]}.json"


def known_rates(
    products: Iterable[Product], overrides: Sequence[Override], folder: Path | None
) -> list[Rate]:
    """Return the rates of these kinds of request, from the file or, the first time, from the list.

    Args:
        products: The kinds.
        overrides: The user's own rates.
        folder: Where the file lies; None: nowhere.
    """
    path = folder / _name(overrides) if folder is not None else None
    known = _read(path)
    wanted = list(products)
    missing = [product for product in wanted if json.dumps(product) not in known]
    if missing:
        found: dict[str, list[Rate]] = {json.dumps(product): [] for product in missing}
        for rate in resolve_rates(((product, EVER, NEVER) for product in missing), overrides):
            found[json.dumps(rate.product)].append(rate)
        known.update(found)
        if path is not None:
            _write(path, known)
    return [rate for product in wanted for rate in known[json.dumps(product)]]


def _read(path: Path | None) -> dict[str, list[Rate]]:
    if path is None:
        return {}
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
