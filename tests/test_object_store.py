"""Object storage on a real server: what a location promises, what a fault costs, what a kill loses."""

import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr

from pipeline.claims import RunClaims
from pipeline.errors import AlreadyExists, BadInput, Unavailable
from pipeline.storage import affordable_gap, open_store
from pipeline.stores import read_stores, store_options
from pipeline.zarr_store import read_store, verify, write_store

from .fault_proxy import Fault, FaultProxy
from .seaweed import BUCKET, SECRET, Seaweed, forget_clients

DATA = np.random.default_rng(0).bytes(3_000_000)


def own_folder(server, request):
    """A folder of a test's own in the bucket, with its client connected: s3fs does that once a thread else."""
    found = open_store(server.url(request.node.name.replace("[", "-").strip("]")))
    found.fs.connect()
    return found


@pytest.fixture
def place(s3, request):
    """A folder of this test's own in the bucket."""
    return own_folder(s3, request)


@pytest.fixture
def proxied(s3, monkeypatch, request):
    """The same through a proxy that can spoil answers."""
    with FaultProxy(urlsplit(s3.endpoint).port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        forget_clients()
        yield proxy, own_folder(s3, request)


# --- what a location promises ---------------------------------------------------------------------


def test_what_is_written_is_read(place):
    place.write_bytes("a/data", DATA)
    assert place.read_bytes("a/data") == DATA
    assert place.size("a/data") == len(DATA) and place.exists("a/data") and not place.exists("a/other")
    assert place.is_folder("a") and place.list("") == ["a"] and place.list("a") == ["data"]
    place.write_bytes("a/data", b"new")
    assert place.read_bytes("a/data") == b"new" and place.read_bytes("a/data", limit=1) == b"ne"
    place.write_bytes("a/empty", b"")
    assert place.read_bytes("a/empty") == b"" and place.read_bytes("a/empty", limit=10) == b""


def test_ranges_are_those_asked_for_and_are_counted(place):
    place.write_bytes("data", DATA)
    before = place.traffic.requests
    starts, stops = [500_000, 0, 2_999_990, 7, 3_500_000], [500_100, 10, 3_000_050, 7, 3_500_010]
    found = place.ranges("data", starts, stops)
    assert [bytes(part) for part in found] == [DATA[a:b] for a, b in zip(starts, stops, strict=True)]
    assert place.traffic.requests - before == 4  # the empty one needs none
    assert place.traffic.bytes_read == 100 + 10 + 10 and place.traffic.seconds > 0.0


def test_a_window_costs_little_more_than_its_bytes(place):
    """Lines of 12 kB, 92 kB apart: a request each rather than eight times the bytes."""
    place.write_bytes("data", DATA)
    starts = np.arange(30) * 92_000
    place.ranges("data", starts.tolist(), (starts + 12_000).tolist())
    assert place.traffic.bytes_read == 30 * 12_000 and place.traffic.requests == 30


@pytest.mark.parametrize(
    ("gaps", "expected"), [([100] * 3, 100), ([100, 5000, 5000], 100), ([5000] * 3, 0), ([100, 500, 60_000], 500)]
)
def test_small_gaps_are_read_over_within_the_budget(gaps, expected):
    starts = np.cumsum([0, *(1000 + gap for gap in gaps)])
    assert affordable_gap(starts, starts + 1000) == expected


def test_of_rivals_one_creates(place):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda k: place.create_bytes("state", f"rival {k}".encode()), range(8)))
    assert won.count(True) == 1
    assert place.read_bytes("state") == f"rival {won.index(True)}".encode()


def test_a_store_is_written_verified_and_read(place):
    dataset = xr.Dataset({"a": (("y", "x"), np.arange(12.0, dtype=np.float32).reshape(3, 4))})
    url = f"s3://{place.path}/cube.zarr"
    manifest = write_store(dataset, url)
    verify(url, manifest)
    assert read_store(url)["a"].values.tolist() == dataset["a"].values.tolist()
    with pytest.raises(AlreadyExists):
        write_store(dataset, url)
    assert write_store(dataset, url, overwrite=True) == manifest
    place.write_bytes("cube.zarr/a/c/0/0", b"torn")
    with pytest.raises(Unavailable, match="differs from what was written"):
        verify(url, manifest)


def test_claims_hold_on_an_object_store(place):
    with RunClaims(place) as first, RunClaims(place) as second:
        assert first.claim("pit-t001") and not second.claim("pit-t001")
        first.release("pit-t001")
        assert second.claim("pit-t001")
    # this server keeps empty folders, and lists them
    assert [path for path in place.fs.find(place.path) if path.endswith(".json")] == []


# --- credentials ----------------------------------------------------------------------------------


def test_wrong_and_missing_credentials_are_refused_without_naming_them(s3, monkeypatch, place):
    place.write_bytes("data", b"1")
    for name, value, options in (
        ("AWS_SECRET_ACCESS_KEY", SECRET[::-1], {}),
        ("AWS_ACCESS_KEY_ID", "somebody-else", {}),
        ("UNUSED", "", {"anon": True}),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            forget_clients()
            other = open_store(s3.url("refused"), **options)
            for action in (other.read_bytes, lambda other=other: other.write_bytes("x", b"1"), other.list):
                with pytest.raises(Unavailable, match=r"s3://pitpulse-test/refused.*access is refused") as caught:
                    action()
                assert "secret" not in str(caught.value) and "somebody" not in str(caught.value)


def test_no_credential_is_in_a_location(s3, place):
    place.write_bytes("data", b"1")
    assert SECRET not in repr(place) and SECRET not in str(place.url)
    copy = pickle.dumps(place)
    assert SECRET.encode() not in copy
    assert pickle.loads(copy).read_bytes("data") == b"1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "must be JSON"),
        ("[1]", "must be an object of objects"),
        ('{"https://x/": {}}', "must begin with s3://"),
        ('{"s3://x/": {"secret_access_key": "hush"}}', "secrets don't belong there"),
        ('{"s3://x/": {"colour": "red"}}', "must have settings of endpoint"),
        ('{"s3://x/": {"anonymous": "yes"}}', "anonymous must be a bool"),
    ],
)
def test_settings_that_cannot_be_used(text, said):
    with pytest.raises(BadInput, match=said) as caught:
        read_stores(text)
    assert "hush" not in str(caught.value)


def test_the_longest_beginning_counts(monkeypatch):
    stores = {"s3://a/": {"region": "r1"}, "s3://a/b/": {"endpoint": "http://e", "requester_pays": True}}
    monkeypatch.setenv("PITPULSE_STORES", json.dumps(stores))
    assert store_options("s3://a/x")["client_kwargs"] == {"region_name": "r1"}
    found = store_options("s3://a/b/x")
    assert (found["endpoint_url"], found["requester_pays"]) == ("http://e", True) and "client_kwargs" not in found
    assert store_options("/a/b") == {} and "endpoint_url" not in store_options("s3://c/")


def test_settings_by_url_reach_the_server(s3, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("PITPULSE_STORES", json.dumps({f"s3://{BUCKET}/by/": {"endpoint": s3.endpoint}}))
    forget_clients()
    place = open_store(s3.url("by/url"))
    place.write_bytes("data", DATA)
    assert bytes(place.ranges("data", [5], [10])[0]) == DATA[5:10]
    dataset = xr.Dataset({"a": ("x", np.arange(3.0))})
    write_store(dataset, s3.url("by/url/cube.zarr"))
    assert read_store(s3.url("by/url/cube.zarr"))["a"].values.tolist() == [0.0, 1.0, 2.0]


# --- faults ---------------------------------------------------------------------------------------

TRANSIENT = [
    Fault("status", "GET", "data", 2, 503),
    Fault("status", "GET", "data", 1, 500),
    Fault("status", "GET", "data", 2, 429),
    Fault("reset", "GET", "data", 2),
    Fault("truncate", "GET", "data", 2, 1000),
    Fault("slow", "GET", "data", 1, 1.0),
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=lambda f: f"{f.kind}{f.value:.0f}")
@pytest.mark.parametrize("whole", [True, False])
def test_a_read_survives_what_is_transient(proxied, fault, whole):
    proxy, place = proxied
    place.write_bytes("data", DATA)
    proxy.faults = [Fault(fault.kind, fault.method, fault.part, fault.times, fault.value)]
    if whole:
        assert place.read_bytes("data") == DATA
    else:
        starts = [0, 1_000_000, 2_000_000]
        parts = place.ranges("data", starts, [s + 5000 for s in starts])
        assert [bytes(part) for part in parts] == [DATA[s : s + 5000] for s in starts]
    assert proxy.faults[0].done == fault.times
    assert place.traffic.retries == (0 if fault.kind == "slow" else fault.times)


@pytest.mark.parametrize(
    "fault", [Fault("status", "PUT", "data", 2, 503), Fault("reset", "PUT", "data", 2), Fault("lost", "PUT", "data")],
    ids=lambda f: f.kind,
)  # fmt: skip
def test_a_write_survives_what_is_transient(proxied, fault):
    proxy, place = proxied
    for name, write in (("data-1", place.write_bytes), ("data-2", place.create_bytes)):
        proxy.faults = [Fault(fault.kind, fault.method, name, fault.times, fault.value)]
        assert write(name, DATA) in (None, True)  # created by us, though the answer may be lost
        assert place.read_bytes(name) == DATA and proxy.faults[0].done == fault.times
    assert place.traffic.retries == 2 * fault.times
    assert place.traffic.taken()[2] == 2 * fault.times and place.traffic.taken() == (0, 0, 0)


def test_of_many_ranges_only_the_one_that_failed_is_asked_for_again(proxied):
    proxy, place = proxied
    place.write_bytes("data", DATA)
    proxy.faults = [Fault("status", "GET", "data", 3, 503)]
    before, starts = proxy.count("GET", "data"), np.arange(25) * 100_000
    parts = place.ranges("data", starts.tolist(), (starts + 10_000).tolist())
    assert [bytes(part) for part in parts] == [DATA[s : s + 10_000] for s in starts]
    assert proxy.count("GET", "data") - before == 28 and place.traffic.retries == 3


def test_what_is_not_transient_is_said_at_once(proxied):
    proxy, place = proxied
    with pytest.raises(Unavailable, match="nothing is there"):
        place.read_bytes("absent")
    assert proxy.count("GET", "absent") == 1
    proxy.faults = [Fault("status", "GET", "closed", 99, 403)]
    with pytest.raises(Unavailable, match="access is refused"):
        place.read_bytes("closed")
    assert proxy.count("GET", "closed") == 1


def test_a_store_that_stays_broken_is_named(proxied):
    proxy, place = proxied
    proxy.faults = [Fault("status", "GET", "data", 99, 503)]
    with pytest.raises(Unavailable, match=r"can't read s3://pitpulse-test/.*data: the store answers 503.*check the"):
        place.read_bytes("data")
    assert proxy.count("GET", "data") == 1 + place.traffic.retries == 5


def test_the_counted_requests_are_those_that_the_store_sees(proxied):
    proxy, place = proxied
    place.write_bytes("data", DATA)
    before, counted = proxy.count("GET", "data"), place.traffic.requests
    starts = np.arange(25) * 100_000
    place.ranges("data", starts.tolist(), (starts + 10_000).tolist())
    assert proxy.count("GET", "data") - before == place.traffic.requests - counted == 25


# --- kill -9 --------------------------------------------------------------------------------------


def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path, monkeypatch):
    server = Seaweed(tmp_path / "data")
    server.start()
    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        forget_clients()
        place, acknowledged, enough = open_store(server.url("kill")), [], threading.Event()

        def write():
            for k in range(100_000):
                try:
                    place.write_bytes(f"{k}", DATA[k % 997 : k % 997 + 500_000])
                except Unavailable:
                    return
                acknowledged.append(k)
                if len(acknowledged) >= 20:
                    enough.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert enough.wait(60)
        server.kill()
        server.start()
        for _ in range(5):  # more of them after the restart
            n = len(acknowledged)
            if not writer.is_alive():
                break
            while writer.is_alive() and len(acknowledged) == n:
                threading.Event().wait(0.01)
        kept = list(acknowledged)
        for k in kept:
            assert place.read_bytes(f"{k}") == DATA[k % 997 : k % 997 + 500_000]
    finally:
        server.stop()
        if "writer" in locals():
            writer.join(120)
        forget_clients()
    assert len(kept) >= 20
