import hashlib
import os
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent.artifacts import ArtifactStore
from metanas_agent.errors import ArtifactError, StorageFullError
from metanas_agent.state import StateFolder

DATA = os.urandom(999) + b"."


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def state(tmp_path):
    return StateFolder(tmp_path / "state")


@pytest.fixture
def store(state):
    return ArtifactStore(state)


def put(store, data, piece=300):
    received = store.offer(sha(data), len(data))
    while received < len(data):
        received = store.add(sha(data), received, data[received : received + piece])
    return received


def test_a_file_arrives_in_pieces_and_can_then_be_run_by_us_alone(store, state):
    assert put(store, DATA) == len(DATA)
    path = store.path(sha(DATA))
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o500
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.root.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_what_is_there_is_not_sent_again(store):
    put(store, DATA)
    assert store.offer(sha(DATA), len(DATA)) == len(DATA)
    assert store.add(sha(DATA), 0, b"x") == len(DATA)


def test_an_upload_goes_on_in_another_agent(store, state):
    store.offer(sha(DATA), len(DATA))
    store.add(sha(DATA), 0, DATA[:700])
    again = ArtifactStore(state)
    assert again.offer(sha(DATA), len(DATA)) == 700
    assert again.add(sha(DATA), 700, DATA[700:]) == len(DATA)
    assert again.path(sha(DATA)).read_bytes() == DATA


def test_an_agent_that_died_before_it_looked_at_the_whole_starts_over(store, state):
    store.offer(sha(DATA), len(DATA))
    (state.artifacts / f"{sha(DATA)}.part").write_bytes(DATA)
    assert store.offer(sha(DATA), len(DATA)) == 0
    assert put(store, DATA) == len(DATA)


@given(st.data())
def test_pieces_in_any_order_never_make_another_file(tmp_path_factory, data):
    store = ArtifactStore(StateFolder(tmp_path_factory.mktemp("state")))
    store.offer(sha(DATA), len(DATA))
    received = 0
    for _ in range(data.draw(st.integers(0, 8))):
        offset = data.draw(st.sampled_from([received, 0, 500, 2000]))
        length = data.draw(st.integers(0, 600))
        received = store.add(sha(DATA), offset, DATA[offset : offset + length])
    while received < len(DATA):
        received = store.add(sha(DATA), received, DATA[received : received + 400])
    assert store.path(sha(DATA)).read_bytes() == DATA


@pytest.mark.parametrize("arrived", [DATA[:-1] + b"?", DATA + b"!"])
def test_what_is_not_its_hash_is_thrown_away(store, state, arrived):
    store.offer(sha(DATA), len(DATA))
    with pytest.raises(ArtifactError, match="something else than its hash"):
        store.add(sha(DATA), 0, arrived)
    assert list(state.artifacts.iterdir()) == []
    assert put(store, DATA) == len(DATA)


def test_a_stored_file_that_was_damaged_is_asked_for_again(store):
    put(store, DATA)
    path = store.path(sha(DATA))
    path.chmod(0o700)
    path.write_bytes(b"a bad block")
    assert store.offer(sha(DATA), len(DATA)) == 0


def test_nothing_comes_without_an_offer(store):
    with pytest.raises(ArtifactError, match="not offered"):
        store.add(sha(DATA), 0, DATA)


@pytest.mark.parametrize(("name", "size"), [("", 10), (sha(DATA), 0)])
def test_nothing_is_no_file(store, name, size):
    with pytest.raises(ArtifactError):
        store.offer(name, size)


def test_a_file_that_is_not_there_is_said(store):
    with pytest.raises(ArtifactError, match="is not on this device"):
        store.path(sha(DATA))


def test_what_was_used_longest_ago_makes_room(state):
    store = ArtifactStore(state, limit_bytes=2500)
    files = [bytes([number]) * 1000 for number in range(3)]
    for age, data in zip((10, 20), files[:2], strict=True):
        put(store, data)
        os.utime(state.artifacts / sha(data), (age, age))
    store.path(sha(files[0]))  # used again
    put(store, files[2])
    left = {path.name for path in state.artifacts.iterdir()}
    assert left == {sha(files[0]), sha(files[2])}


def test_an_unfinished_upload_makes_room_too(state):
    store = ArtifactStore(state, limit_bytes=1500)
    store.offer(sha(DATA), len(DATA))
    store.add(sha(DATA), 0, DATA[:900])
    other = b"x" * 1000
    put(store, other)
    assert [path.name for path in state.artifacts.iterdir()] == [sha(other)]


def test_more_than_may_ever_be_stored_is_refused(state):
    store = ArtifactStore(state, limit_bytes=2500)
    put(store, DATA)
    with pytest.raises(StorageFullError, match="no room for 5,000 bytes"):
        store.offer("0" * 64, 5000)


def test_more_than_the_disk_has_is_refused_before_a_byte_is_sent(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        store = ArtifactStore(StateFolder(disk))
        with pytest.raises(StorageFullError, match="no room for 200,000 bytes"):
            store.offer("0" * 64, 200_000)


def test_a_disk_that_fills_up_meanwhile_is_said_and_left_as_it_was(tmp_path):
    data = os.urandom(60_000)
    with small_disk(tmp_path / "disk") as disk:
        store = ArtifactStore(StateFolder(disk))
        store.offer(sha(data), len(data))
        store.add(sha(data), 0, data[:30_000])
        other = disk / "other"
        other.write_bytes(bytes(60_000))
        with pytest.raises(StorageFullError, match="disk is full"):
            store.add(sha(data), 30_000, data[30_000:])
        assert list((disk / "artifacts").iterdir()) == []
        other.unlink()
        assert put(store, data, piece=20_000) == len(data)


def test_a_disk_that_cannot_be_written_is_said(state, tmp_path):
    state.root.write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match="cannot store"):
        ArtifactStore(state).offer(sha(DATA), len(DATA))


@contextmanager
def small_disk(folder: Path):
    """A file system of 100 KiB."""
    if os.geteuid():
        pytest.skip("only root can mount a small file system")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k,mode=700", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
