"""Storage: bytes, ranges, counters and exclusive creation, in every store that needs no server."""

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Unavailable
from pipeline.storage import merge_ranges, open_store, public_url

numbers = itertools.count()


class TestStorage:
    """What a local folder and memory have in common, and what only a folder can get wrong."""

    @pytest.fixture(params=["local", "memory"])
    def store(self, request, tmp_path):
        return open_store(str(tmp_path / "a") if request.param == "local" else f"memory://store-{next(numbers)}")

    def test_round_trip(self, store):
        store.write_bytes("b/c.bin", b"0123456789")
        assert store.read_bytes("b/c.bin") == b"0123456789"
        assert store.join("b").read_bytes("c.bin", limit=3) == b"0123"
        assert store.size("b/c.bin") == 10
        assert store.list() == ["b"] and store.list("b") == ["c.bin"]
        assert store.exists("b/c.bin") and not store.exists("b/d") and store.is_folder("b")

    def test_ranges_in_any_order_past_the_end_and_empty(self, store):
        store.write_bytes("c", b"0123456789")
        found = store.ranges("c", [7, 0, 3, 9, 5], [9, 2, 6, 20, 5], max_gap=0)
        assert [bytes(f) for f in found] == [b"78", b"01", b"345", b"9", b""]

    def test_counters(self, store):
        store.write_bytes("c", bytes(100))
        store.ranges("c", [0, 10, 90], [5, 20, 100], max_gap=5)
        assert (store.traffic.requests, store.traffic.bytes_read) == (2, 30)

    def test_one_creator(self, store):
        assert store.create_bytes("lease", b"first") is True
        assert store.create_bytes("lease", b"second") is False
        assert store.read_bytes("lease") == b"first"
        store.write_bytes("lease", b"third")
        assert store.read_bytes("lease") == b"third" and store.list() == ["lease"]

    def test_absent(self, store):
        for read in (store.read_bytes, store.size, store.list, lambda p: store.ranges(p, [0], [1])):
            with pytest.raises(Unavailable, match="none: nothing is there; check the spelling"):
                read("none")

    def test_file_reads_across_blocks(self, store):
        data = bytes(range(256)) * 4
        store.write_bytes("c", data)
        file = store.open("c", block=100)
        file.seek(95)
        assert file.read(50) == data[95:145]
        file.seek(-10, io.SEEK_END)
        assert file.read(50) == data[-10:] and file.read(1) == b""
        file.seek(0)
        assert file.read() == data

    def test_folder_is_no_file(self, tmp_path):
        with pytest.raises(Unavailable, match="it is a folder, not a file"):
            open_store(str(tmp_path)).read_bytes()

    def test_no_permission(self, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(Unavailable, match=r"can't write .*file/below"):
            open_store(str(tmp_path / "file")).write_bytes("below", b"x")

    def test_url_without_secrets(self):
        assert public_url("s3://key:secret@bucket/a?token=1#x") == "s3://bucket/a"
        assert public_url("plain/path?") == "plain/path?"


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=20), st.integers(0, 50), st.integers(60, 300)
)
def test_merged_ranges_hold_all_and_little_more(pairs, gap, longest):
    starts, stops = [a for a, _ in pairs], [a + n for a, n in pairs]
    merged, places = merge_ranges(starts, stops, gap, longest)
    for a, b, k in zip(starts, stops, places, strict=True):
        assert k == -1 if a == b else merged[k][0] <= a and b <= merged[k][1]
    assert all(b - a <= longest for a, b in merged)
    wanted = bytearray(b"." * 600)
    for a, b in zip(starts, stops, strict=True):
        wanted[a:b] = b"w" * (b - a)
    for a, b in merged:  # inside a request no run of unwanted bytes is longer than the gap
        assert max(map(len, wanted[a:b].split(b"w"))) <= gap
