"""Names from ids that anybody may have chosen, on a real file system."""

import os
import random
import string
import unicodedata
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from llm_logging.files.layout import Layout, LogKind, escape_id, resolve_root

HOSTILE = [
    "..", ".", "/", "//", "../../etc/passwd", "/etc/passwd", "..\\..\\windows", "C:\\x", "\\\\host\\share", "a/b", "a\\b", "a\0b",
    "~", "~root", "$HOME", "`id`", "$(id)", "; rm -rf /", "| cat", "*", "?", "[a-z]", "{a,b}", "-rf", "--help", " ", "  ", "\t",
    "\n", "\r\n", "a\n", "con", "CON", "Con", "nul", "NUL", "aux", "prn", "com1", "COM1", "lpt9", "con.txt", "a.", "a ", ".a", ".git",
    ".__x.lock", "x.jsonl", "x.manifest", "x.jsonl.gz", "events", "llm_requests.20260115T103000Z-0001", "%2e%2e", "%2E%2E%2F",
    "%00", "%", "%%", "..%2f", "a%2fb", "\u202e", "\u200b", "\ufeff", "\ud800", "\udfff", "\U0001f4a9", "\u00e9", "e\u0301", "\u212a",
    "K", "k", "\u0130", "i\u0307", "\u00df", "ss", "SS", "\ufb01", "fi", "A", "a", "aA", "Aa", "AA", "aa", "a~1", "A~1", "a~", "~1",
    "a" * 159, "a" * 160, "a" * 161, "a" * 255, "a" * 256, "a" * 10_000, "A" * 160, "\u4e2d" * 100, "x" * 159 + "A", "sha256-0",
    "a~sha256-" + "0" * 32, "'", '"', "<script>", "&", "=1+1", "@x", "\x1b[31m", "\x7f", "0", "-1", "1e9", "null", "None", "undefined",
]  # fmt: skip


def ids(count: int) -> list[str]:
    rng = random.Random(5)
    letters = string.printable + "/\\.%~ \0\u00e9\u202e\u4e2d\ud800AaBbKk\u0130"
    found = dict.fromkeys(HOSTILE)
    for base in HOSTILE:
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            found.setdefault(unicodedata.normalize(form, base))
        for variant in (
            base.upper(),
            base.lower(),
            base.swapcase(),
            base + ".",
            base + " ",
            "../" + base,
            base * 3,
        ):
            found.setdefault(variant)
    while len(found) < count:
        length = rng.choice([1, 2, 3, 5, 8, 20, 60, 200])
        found.setdefault("".join(rng.choice(letters) for _ in range(length)))
    return [value for value in found if value][:count]


def test_ten_thousand_hostile_ids_make_ten_thousand_files_and_none_outside(tmp_path):
    root = tmp_path / "root"
    layout = Layout(root)
    chosen = ids(10_000)
    assert len(chosen) == 10_000
    folded: set[str] = set()
    for number, value in enumerate(chosen):
        path = layout.path(LogKind.CHAT, "p", value)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number), encoding="ascii")
        assert len(os.fsencode(path.name)) <= 200
        # A file system that folds case or unicode forms sees no two alike either.
        folded.add(unicodedata.normalize("NFKC", path.name).casefold())
    assert len(folded) == len(chosen)
    below = [Path(folder) / name for folder, _, names in os.walk(tmp_path) for name in names]
    assert len(below) == len(chosen)
    assert all(path.parent == root / "projects" / "p" / "chats" for path in below)
    for number, value in enumerate(chosen):
        assert layout.path(LogKind.CHAT, "p", value).read_text() == str(number)


def test_a_hostile_project_stays_below_projects(tmp_path):
    layout = Layout(tmp_path)
    for value in ids(2_000):
        folder = layout.project_dir(value)
        assert folder.parent == tmp_path / "projects"
        assert folder.resolve() == folder
        assert folder.name not in {".", ".."}


@given(st.text(min_size=1, max_size=400))
def test_a_name_is_one_short_component_of_plain_letters(value):
    name = escape_id(value)
    assert set(name) <= set(string.ascii_letters + string.digits + "_-%~")
    assert 0 < len(name) <= 160
    assert name.lower().partition("~")[0] not in {"con", "nul", "aux", "prn", "com1", "lpt1"}


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_two_ids_never_share_a_name(first, second):
    if first != second:
        assert escape_id(first).casefold() != escape_id(second).casefold()


def test_an_empty_root_is_none_as_an_empty_variable_is(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_LOGGING_ROOT", "")
    assert resolve_root("") == resolve_root(None) == tmp_path / "llm_logs"
    monkeypatch.setenv("LLM_LOGGING_ROOT", str(tmp_path / "named"))
    assert resolve_root("") == resolve_root(None) == tmp_path / "named"
