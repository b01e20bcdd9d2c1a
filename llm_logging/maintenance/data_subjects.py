"""Decide which lines belong to a person, including lines that carry no `user_id`.

A person's lines are those that name them as `user_id` (at the top, or in one of `PLACES`); the lines
of requests of which one line does; the content of those requests, joined by id; chat messages that such a request
made; and the content and messages of a chat in which no other user is named.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["PLACES", "USER_FIELDS", "Person", "needles_of"]

USER_FIELDS: Final = ("user_id", "userId")
# Where a line names people beside its top: extras, and what an entry that was refused, or a field that was, held.
PLACES: Final[tuple[tuple[str, ...], ...]] = (
    ("attributes",),
    ("attributes", "invalid"),
    ("data",),
    ("data", "entry"),
    ("data", "entry", "attributes"),
    ("context",),
)


@dataclass(slots=True)
class Person:
    """What is known of one person while the logs are read.

    Attributes:
        names: The ids they go by.
        needles: How those may be written in a line.
        requests: Ids of their requests.
        groups: Groups of their requests.
        chats: Chats, as project and chat, in which they are named.
        others: Chats in which somebody else is.
        unreadable: Lines that are no JSON and hold one of the needles.
    """

    names: frozenset[str]
    needles: tuple[bytes, ...]
    requests: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    chats: set[tuple[str, str]] = field(default_factory=set)
    others: set[tuple[str, str]] = field(default_factory=set)
    unreadable: int = 0

    def named(self, document: dict[str, Any]) -> bool:
        """Say whether a line names them."""
        return any(name in self.names for name in _users(document))

    def meet(self, document: dict[str, Any]) -> None:
        """Learn from one line."""
        users = list(_users(document))
        project, chat = document.get("project_id"), document.get("chat_id")
        place = (str(project), str(chat)) if project is not None and chat is not None else None
        if any(name in self.names for name in users):
            if place is not None:
                self.chats.add(place)
            if document.get("event_type") in {"llm_request", "llm_content"}:
                self.requests.add(str(document.get("id")))
                if document.get("request_group") is not None:
                    self.groups.add(str(document["request_group"]))
        if place is not None and any(name not in self.names for name in users):
            self.others.add(place)

    def owns(self, document: dict[str, Any]) -> bool:
        """Say whether a line is theirs."""
        users = list(_users(document))
        if users:
            return any(name in self.names for name in users)
        kind = document.get("event_type")
        own = str(document.get("id")) in self.requests
        if kind == "llm_request":
            return own or str(document.get("request_group")) in self.groups
        if kind not in {"llm_content", "chat_message"}:
            return False
        info = document.get("llm_info")
        made_by = str(info.get("request_id")) if isinstance(info, dict) else ""
        place = (str(document.get("project_id")), str(document.get("chat_id")))
        return own or made_by in self.requests or (place in self.chats and place not in self.others)


def _users(document: dict[str, Any]) -> Iterator[str]:
    for path in ((), *PLACES):
        place: Any = document
        for step in path:
            place = place.get(step) if isinstance(place, dict) else None
        if isinstance(place, dict):
            for name in USER_FIELDS:
                found = place.get(name)
                # A field that was refused may hold several, and none of them is a user of a chat for that.
                yield from (
                    str(item) for item in (found if isinstance(found, list) else [found]) if item is not None
                )


def needles_of(text: str) -> tuple[bytes, ...]:
    """Return the bytes as which JSON may write a text."""
    written = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    return tuple(part.encode("utf-8", "surrogatepass") for part in sorted(written))
