"""Files in a folder that others may write to: their links lead us nowhere, their pipes keep us from nothing."""

import errno
import logging
import os
import threading

import pytest

from llm_logging import LLMFileHandler
from llm_logging.files.compression import compress_segment
from llm_logging.files.safe_open import open_private

NOBODY = 65534
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make another user's link"
)


def plant(link, target):
    link.symlink_to(target)
    os.lchown(link, NOBODY, NOBODY)


def log_once(root, **options):
    handler = LLMFileHandler(root=root, flush_timeout=0.3, **options)
    logger = logging.getLogger("files.private")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        logger.warning("x", extra={"project_id": "p"})
    finally:
        logger.removeHandler(handler)
        handler.close()


@as_root
def test_a_folder_that_another_user_linked_elsewhere_is_not_entered(tmp_path, capsys):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    plant(root / "projects", elsewhere)
    log_once(root, spool="off")
    assert list(elsewhere.iterdir()) == []
    assert "a folder is a link that another user made" in capsys.readouterr().err


def test_a_folder_that_we_linked_elsewhere_is_entered(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (root / "projects").symlink_to(elsewhere)
    log_once(root)
    assert (elsewhere / "p/logs/events.jsonl").is_file()


@as_root
def test_the_note_of_a_clean_close_follows_no_link_of_others(tmp_path):
    root, victim = tmp_path / "root", tmp_path / "victim"
    root.mkdir()
    victim.write_text("precious")
    plant(root / ".writers.jsonl", victim)
    log_once(root)
    assert victim.read_text() == "precious"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_the_note_of_a_clean_close_waits_for_no_pipe(tmp_path):
    os.mkfifo(tmp_path / ".writers.jsonl")
    thread = threading.Thread(target=log_once, args=(tmp_path,), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_a_link_where_a_segment_is_compressed_to_goes(tmp_path):
    segment, victim = tmp_path / "a.20260115T103000Z-0001.jsonl", tmp_path / "victim"
    segment.write_text('{"a": 1}\n')
    victim.write_text("precious")
    (tmp_path / f".{segment.name}.gz.tmp").symlink_to(victim)
    assert compress_segment(segment, "gz").suffix == ".gz"
    assert victim.read_text() == "precious"
    assert not (tmp_path / f"{segment.name}.gz").is_symlink()


@as_root
def test_a_file_of_others_where_a_segment_is_compressed_to_is_not_used(tmp_path):
    segment = tmp_path / "a.20260115T103000Z-0001.jsonl"
    segment.write_text('{"a": 1}\n')
    temporary = tmp_path / f".{segment.name}.gz.tmp"
    temporary.touch()
    os.chown(temporary, NOBODY, NOBODY)
    with temporary.open("rb") as held:
        assert compress_segment(segment, "gz") == segment
        assert held.read() == b""
    packed = compress_segment(segment, "gz")
    assert packed.stat().st_uid == os.geteuid()


@as_root
def test_a_link_is_refused_and_one_of_our_own_followed(tmp_path):
    plant(tmp_path / "theirs", tmp_path / "secret")
    with pytest.raises(OSError) as caught:  # noqa: PT011  its number is looked at
        open_private(str(tmp_path / "theirs"), os.O_RDWR, 0o600)
    assert caught.value.errno == errno.ELOOP
    (tmp_path / "ours").symlink_to(tmp_path / "file")
    os.close(open_private(str(tmp_path / "ours"), os.O_RDWR, 0o600))
    assert (tmp_path / "file").is_file()


def test_what_is_no_regular_file_is_refused(tmp_path):
    with pytest.raises(OSError, match="expected a regular file"):
        open_private(os.devnull, os.O_RDWR, 0o600)
