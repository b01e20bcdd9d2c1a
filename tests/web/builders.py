"""Roots and clients for the tests of pages and routes."""

from __future__ import annotations

from pathlib import Path

from tests.reader.builders import entry, put

# What runs, breaks out or hides where it is not escaped.
ATTACKS = {
    "script": "<script>document.title='run'</script>",
    "image": "<img src=x onerror=document.title='run'>",
    "close": "</script></title></style><script>document.title='run'</script>",
    "attribute": '" onmouseover="document.title=1" x="',
    "template": "{{7*7}}{% for x in [1] %}{{ self }}{% endfor %}",
    "expression": "datum.cost']; window.x = 1; //",
    "ansi": "\x1b[2J\x1b]0;run\x07",
    "bidi": "\u202eevil\u2066",
    "long": "n" * 1_000_000,
}


def hostile_root(root: Path) -> Path:
    """Log requests whose every name is an attack."""
    entries = []
    for number, text in enumerate(ATTACKS.values()):
        name = text[:150]
        entries.append(
            entry(
                number, project=name, chat=name, model=text, provider="openai", user_id=text, prompt_name=text,
                service_tier=text, tags=[text], attributes={name: text}, message=text,
                messages=[{"role": text, "content": text}], response={"text": text},
            )
        )  # fmt: skip
        entries.append(
            entry(
                number + 100, project=name, chat=name, model="gpt-4o", status="error", usage=None,
                error={"code": text, "message": text, "type": text},
            )
        )  # fmt: skip
    put(root, entries)
    return root
