import gzip
import io
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.errors import ConfigurationError, ErrorCode, FileSystemError
from llm_logging.files import lines
from llm_logging.files.lines import last_lines, read_lines, split_lines

BYTES = st.binary(max_size=60) | st.lists(
    st.sampled_from([b"a", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\x00"])
).map(b"".join)


def read(path, **options):
    return list(read_lines(path, **options))


@given(BYTES, st.lists(st.integers(0, 60), max_size=5))
def test_lines_do_not_depend_on_where_blocks_end(data, cuts):
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in zip(edges, edges[1:], strict=False) if a < b]
    found = list(split_lines(iter(pieces)))
    expected = data.split(b"\n")
    finished = [True] * (len(expected) - 1) + [False]
    if not expected[-1]:
        expected, finished = expected[:-1], finished[:-1]
    cut = [line.removesuffix(b"\r") if done else line for line, done in zip(expected, finished, strict=True)]
    if cut:
        cut[0] = cut[0].removeprefix(b"\xef\xbb\xbf")
    assert [line.data for line in found] == cut
    assert [line.finished for line in found] == finished
    assert [data[line.offset : line.offset + line.size] for line in found] == expected


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 10))
def test_a_line_over_the_bound_is_reported_and_the_others_are_read(sizes, bound):
    data = b"".join(b"x" * size + b"\n" for size in sizes)
    found = list(split_lines(iter([data[i : i + 3] for i in range(0, len(data), 3)]), max_line_bytes=bound))
    assert [line.size for line in found] == sizes
    assert [line.problem for line in found] == [("too_long" if size > bound else None) for size in sizes]
    assert all(line.data == b"x" * line.size for line in found if not line.problem)


def test_a_giant_line_is_never_held(tmp_path):
    def pieces():
        for _ in range(4096):
            yield b"x" * 65536
        yield b'\n{"a":1}\n'

    found = list(split_lines(pieces(), max_line_bytes=1024))
    assert [(line.problem, line.data) for line in found] == [("too_long", b""), (None, b'{"a":1}')]


@given(
    st.lists(
        st.binary(min_size=1, max_size=40).filter(lambda b: b"\n" not in b and b"\r" not in b), max_size=6
    )
)
def test_gzip_is_read_like_the_plain_file(content):
    data = b"".join(b"-" + line + b"\n" for line in content)
    packed = io.BytesIO(b"".join(gzip.compress(b"-" + line + b"\n") for line in content))
    assert b"".join(p for p in lines.blocks(packed, ".gz") if isinstance(p, bytes)) == data


def test_every_truncation_of_a_gzip_file_gives_the_lines_before_it(tmp_path):
    data = b"".join(b'{"n":%d}\n' % n for n in range(200))
    packed = gzip.compress(data)
    for cut in range(0, len(packed), 7):
        path = tmp_path / "log.jsonl.gz"
        path.write_bytes(packed[:cut])
        found = read(path)
        assert (
            b"\n".join(line.data for line in found if not line.problem)
            == data[: found[-1].offset].rstrip(b"\n")
            if found
            else cut == 0
        )
        assert not found or found[-1].problem == "damaged"
    path.write_bytes(packed)
    assert len(read(path)) == 200


def test_a_truncated_gzip_file_loses_only_what_is_cut(tmp_path):
    import random

    rng = random.Random(1)
    data = b"".join(b'{"n":"%030x"}\n' % rng.getrandbits(120) for _ in range(20_000))
    packed = gzip.compress(data)
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    found = read(path)
    assert found[-1].problem == "damaged"
    assert 9_000 < len(found) < 11_000


def test_what_is_no_gzip_is_damaged(tmp_path):
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(b"not gzip at all\n")
    assert [line.problem for line in read(path)] == ["damaged"]


def test_a_gzip_bomb_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_SWELL_SLACK", 1_000_000)
    path = tmp_path / "log.jsonl.gz"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    path.write_bytes(b"" + packer.compress(b'{"a":1}\n' + b"\0" * 200_000_000) + packer.flush())
    found = read(path, max_line_bytes=1000)
    assert found[0].data == b'{"a":1}'
    assert found[-1].problem == "swollen"
    assert found[-1].offset < 80_000_000


def test_zst_is_read_or_names_what_to_install(tmp_path):
    path = tmp_path / "log.jsonl.zst"
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        path.write_bytes(b"")
        with pytest.raises(ConfigurationError, match=r"llm-logging\[zstd\]") as caught:
            read(path)
        assert caught.value.code is ErrorCode.MISSING_DEPENDENCY
    else:
        packed = zstd.compress(b"a\nb\n" * 5)
        path.write_bytes(packed)
        assert len(read(path)) == 10
        path.write_bytes(packed[:-3])
        assert read(path)[-1].problem == "damaged"


def test_a_missing_file_is_an_error_of_ours(tmp_path):
    with pytest.raises(FileSystemError, match="No such file") as caught:
        read(tmp_path / "none.jsonl")
    assert caught.value.code is ErrorCode.LOG_READ_ERROR


@given(BYTES, st.integers(1, 5), st.integers(1, 8))
def test_the_last_lines_are_those_of_the_whole_file(data, count, block):
    before = lines.BLOCK
    lines.BLOCK = block
    try:
        found, resume = last_lines(io.BytesIO(data), count)
    finally:
        lines.BLOCK = before
    whole = [line.data for line in split_lines(iter([data])) if line.finished]
    assert found == whole[-count:]
    assert resume == data.rfind(b"\n") + 1


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
def test_what_gives_errors_instead_of_bytes_is_an_error_of_ours():
    with Path("/proc/self/mem").open("rb") as file, pytest.raises(FileSystemError) as raised:
        last_lines(file, 3)
    assert raised.value.code == ErrorCode.LOG_READ_ERROR
