"""Text cut short before secrets are taken out of it: half a secret is one that nothing recognises."""

from __future__ import annotations

from typing import Final

__all__ = ["cut_short"]

_LONGEST_WORD: Final = 1_536


def cut_short(text: str, most: int) -> str:
    """Return the beginning of a text, without the word that is cut; the same text where it is short enough.

    Args:
        text: Any text.
        most: Characters to keep at most; of one endless word the last 1,536 of these go.
    """
    if len(text) <= most:
        return text
    words = text[max(0, most - _LONGEST_WORD) : most].rsplit(None, 1)
    cut = len(words[-1]) if words and not text[most - 1].isspace() else 0
    return text[: most - cut]
