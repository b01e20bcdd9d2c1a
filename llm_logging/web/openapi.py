"""The schemas of answers for OpenAPI: in the names that are asked for, snake_case or camelCase."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel

__all__ = ["answer_schema"]


@cache
def answer_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of an answer in both its forms, without references.

    FastAPI documents a model by its aliases only, and a router cannot name schemas of its own.
    """
    forms = []
    for by_alias in (False, True):
        schema = model.model_json_schema(by_alias=by_alias, mode="validation")
        forms.append(_inlined(schema, schema.pop("$defs", {})))
    return forms[0] if forms[0] == forms[1] else {"title": model.__name__, "anyOf": forms}


def _inlined(value: Any, known: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_inlined(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("$ref")
    if isinstance(name, str):
        return _inlined(known[name.rpartition("/")[2]], known)
    return {key: _inlined(item, known) for key, item in value.items() if key != "discriminator"}
