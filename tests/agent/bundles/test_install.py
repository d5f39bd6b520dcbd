import json
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metanas_agent.bundles import current, install, installed, roll_back
from metanas_agent.bundles.installed import is_intact
from metanas_agent.errors import BundleNotFoundError, InvalidBundleError, StorageFullError
from metanas_agent.state import StateFolder


def version_of(folder):
    return (folder / "version").read_text()


def everything(state):
    """All paths of the state folder but locks, with the bytes of the files."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in sorted(state.root.rglob("*"))
        if path.name != ".lock"
    }


def test_versions_lie_side_by_side(state, make_bundle):
    for version in ("1.0", "2.0", "2.1"):
        assert install(state, make_bundle(version)).version == version
        assert version_of(current(state, "flowers")) == version
    (bundle,) = installed(state)
    assert [each.version for each in bundle.versions] == ["1.0", "2.0", "2.1"]
    assert [version_of(each.folder) for each in bundle.versions] == ["1.0", "2.0", "2.1"]
    assert bundle.current.version == "2.1"
    assert bundle.current.manifest.card == {"licence": "MIT"}
    assert (bundle.current.folder / "empty").read_bytes() == b""


def test_only_the_agents_user_may_look_inside(state, make_bundle):
    folder = install(state, make_bundle("1.0")).folder
    for path in (state.bundles, folder.parent, folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_rollback_goes_to_the_version_before(state, make_bundle):
    for version in ("1.0", "2.0", "3.0"):
        install(state, make_bundle(version))
    assert roll_back(state, "flowers").version == "2.0"
    assert roll_back(state, "flowers").version == "1.0"
    assert version_of(current(state, "flowers")) == "1.0"
    with pytest.raises(BundleNotFoundError, match=r"1\.0 is the oldest version"):
        roll_back(state, "flowers")
    assert install(state, make_bundle("3.0")).version == "3.0"  # it is still here
    (bundle,) = installed(state)
    assert len(bundle.versions) == 3


def test_a_folder_in_use_stays_what_it_is(state, make_bundle):
    install(state, make_bundle("1.0"))
    in_use = current(state, "flowers")
    install(state, make_bundle("2.0"))
    assert version_of(in_use) == "1.0"


def test_a_version_that_is_here_already_changes_nothing(state, make_bundle):
    install(state, make_bundle("1.0"))
    before = everything(state)
    install(state, make_bundle("1.0"))
    assert everything(state) == before


def test_another_bundle_of_the_same_version_is_refused(state, make_bundle):
    install(state, make_bundle("1.0"))
    before = everything(state)
    with pytest.raises(InvalidBundleError, match=r"another flowers 1\.0 is installed"):
        install(state, make_bundle("1.0", files={"model.onnx": b"other"}))
    assert everything(state) == before


def test_damaged_files_are_mended(state, make_bundle):
    install(state, make_bundle("1.0"))
    install(state, make_bundle("2.0"))
    (current(state, "flowers") / "model.onnx").write_bytes(b"a worn card")
    install(state, make_bundle("2.0"))
    (bundle,) = installed(state)
    assert [each.version for each in bundle.versions] == ["1.0", "2.0"]
    assert bundle.current == bundle.versions[1]
    assert is_intact(bundle.current)


def test_bundles_of_other_names_are_left_alone(state, make_bundle):
    install(state, make_bundle("1.0"))
    install(state, make_bundle("7", name="birds"))
    assert [bundle.name for bundle in installed(state)] == ["birds", "flowers"]
    with pytest.raises(BundleNotFoundError, match=r"no bundle 'trees' is installed; .*birds, flow"):
        current(state, "trees")


@pytest.mark.parametrize("name", ["../state", "a/b", "", ".hidden", "flowers\n", "/etc"])
def test_names_are_no_paths(state, make_bundle, name):
    install(state, make_bundle("1.0"))
    with pytest.raises(InvalidBundleError, match="is no name"):
        current(state, name)
    with pytest.raises(InvalidBundleError, match="is no name"):
        roll_back(state, name)


def test_nothing_is_installed_yet(state):
    assert installed(state) == []
    with pytest.raises(BundleNotFoundError, match="there is: none"):
        current(state, "flowers")
    with pytest.raises(FileNotFoundError):
        install(state, state.root / "absent.metanas")


def test_many_at_once(state, make_bundle):
    bundles = [make_bundle(str(version)) for version in range(6)]
    threads = [threading.Thread(target=install, args=(state, bundle)) for bundle in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (bundle,) = installed(state)
    assert sorted(each.version for each in bundle.versions) == list("012345")
    assert [each.number for each in bundle.versions] == [1, 2, 3, 4, 5, 6]
    assert all(map(is_intact, bundle.versions))


# Bad input.


def rewrite(path, change):
    """Change the entries of an archive: (name, bytes) pairs and keyword arguments of ZipInfo."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore", UserWarning)  # of a name that comes twice
        for name, data, *method in change(entries):
            archive.writestr(zipfile.ZipInfo(name), data, *method)


def edited(entries, **changes):
    """The entries with another manifest."""
    manifest = {**json.loads(entries["manifest.json"]), **changes}
    return [*({**entries, "manifest.json": json.dumps(manifest)}).items()]


def with_file(name, data=b"x"):
    def change(entries):
        files = json.loads(entries["manifest.json"])["files"]
        record = {"sha256": "0" * 64, "size_bytes": len(data)}
        return [*edited(entries, files={**files, name: record}), (name, data)]

    return change


SPOILT = {
    "another byte": lambda e: [*({**e, "card.md": b"# Card\n"}).items()],
    "a longer file": lambda e: [*({**e, "card.md": b"# card\n\n"}).items()],
    "a file too many": lambda e: [*e.items(), ("extra", b"x")],
    "a file too few": lambda e: [each for each in e.items() if each[0] != "card.md"],
    "a file twice": lambda e: [*e.items(), ("card.md", e["card.md"])],
    "no manifest": lambda e: [each for each in e.items() if each[0] != "manifest.json"],
    "a path": with_file("../../escaped"),
    "an absolute path": with_file("/escaped"),
    "a folder": with_file("folder/file"),
    "a hidden file": with_file(".profile"),
    "a backslash": with_file("..\\escaped"),
    "a bomb": lambda e: [
        (name, data, zipfile.ZIP_DEFLATED) if name == "model.onnx" else (name, data)
        for name, data in e.items()
    ],
    "a hundred files": lambda e: [*e.items(), *((str(number), b"") for number in range(100))],
    "a name that is a path": lambda e: edited(e, name="../flowers"),
    "a version that is a path": lambda e: edited(e, version="../../1"),
    "a later format": lambda e: edited(e, format=2),
    "no files": lambda e: edited(e, files={}),
    "files of another kind": lambda e: edited(e, files={"card.md": 7}),
    "no card": lambda e: edited(e, card=None),
    "a manifest that is a list": lambda e: [*({**e, "manifest.json": b"[]"}).items()],
    "a manifest that is nothing": lambda e: [*({**e, "manifest.json": b"\xff{"}).items()],
    "a manifest of a terabyte": lambda e: [*({**e, "manifest.json": b" " * 2_000_000}).items()],
}


@pytest.mark.parametrize("change", SPOILT.values(), ids=SPOILT)
def test_a_bundle_that_makes_no_sense_changes_nothing(state, make_bundle, change):
    install(state, make_bundle("1.0"))
    before = everything(state)
    path = make_bundle("2.0")
    rewrite(path, change)
    outside = sorted(state.root.parent.iterdir())
    with pytest.raises(InvalidBundleError) as caught:
        install(state, path)
    assert "\n" not in str(caught.value)
    assert everything(state) == before
    assert sorted(state.root.parent.iterdir()) == outside


def test_files_that_share_their_bytes_are_refused(state, make_bundle):
    """A small archive may claim any number of large files by pointing them all to one."""
    path = make_bundle("1.0", files={f"file{number}": b"\0" * 50_000 for number in range(3)})
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first, second = (archive.getinfo(f"file{number}") for number in (0, 1))
    directory = data.index(b"PK\1\2")
    place = data.index(second.filename.encode(), directory) - 46
    data[place + 42 : place + 46] = struct.pack("<I", first.header_offset)
    path.write_bytes(data)
    with pytest.raises(InvalidBundleError):
        install(state, path)
    assert installed(state) == []


def test_a_damaged_file_of_a_version_that_is_here_is_refused(state, make_bundle):
    path = make_bundle("1.0")
    install(state, path)
    install(state, make_bundle("2.0"))
    before = everything(state)
    data = bytearray(path.read_bytes())
    data[data.index(b"weights")] ^= 1
    path.write_bytes(data)
    with pytest.raises(InvalidBundleError, match="is no whole bundle"):
        install(state, path)
    assert everything(state) == before


def test_a_damaged_file_leaves_no_state_folder(state, make_bundle):
    path = make_bundle("1.0")
    path.write_bytes(path.read_bytes().replace(b"weights", b"wEights", 1))
    with pytest.raises(InvalidBundleError):
        install(state, path)
    assert not state.root.exists()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_or_changed_file_is_never_installed_wrongly(make_bundle, tmp_path, data):
    """Every bit that matters is checked: what is installed is what was packed, or nothing."""
    whole = make_bundle("1.0", files={"model.onnx": b"some weights"})
    packed = whole.read_bytes()
    length = len(packed)
    if data.draw(st.booleans()):
        spoilt = packed[: data.draw(st.integers(0, length - 1))]
    else:
        place, bit = data.draw(st.integers(0, length - 1)), data.draw(st.integers(0, 7))
        spoilt = bytearray(packed)
        spoilt[place] ^= 1 << bit
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        path, state = Path(folder) / "spoilt.metanas", StateFolder(Path(folder) / "state")
        path.write_bytes(spoilt)
        try:
            version = install(state, path)
        except InvalidBundleError:
            assert installed(state) == []
            return
        assert is_intact(version)  # the bit meant nothing, or was one of the manifest's words
        assert {path.name for path in version.folder.iterdir()} == {
            *version.manifest.files,
            "manifest.json",
        }


def test_a_full_disk_changes_nothing(state, make_bundle, full_disk):
    install(state, make_bundle("1.0"))
    before = everything(state)
    path = make_bundle("2.0")
    with full_disk(), pytest.raises(StorageFullError, match="the disk is full"):
        install(state, path)
    assert everything(state) == before


# Killed at every step.

KILLED = """
import os, signal, sys
from pathlib import Path
from metanas_agent.bundles import install
from metanas_agent.state import StateFolder

state, bundle, steps = StateFolder(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
WRITES = {"os.mkdir", "os.chmod", "os.rename", "os.remove", "os.rmdir", "os.symlink", "open"}

def count(event, arguments):
    global steps
    if event in WRITES:
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
install(state, bundle)
"""


def test_killed_at_any_step_it_has_changed_nothing_or_all(state, make_bundle):
    bundles = [make_bundle(version) for version in ("1.0", "2.0")]
    install(state, bundles[0])
    steps, killed = 0, True
    while killed:
        command = [sys.executable, "-c", KILLED, str(state.root), str(bundles[1]), str(steps)]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        assert done.returncode in (0, -9), done.stderr
        killed = done.returncode == -9
        (bundle,) = installed(state)
        assert version_of(current(state, "flowers")) == bundle.current.version
        assert all(map(is_intact, bundle.versions))
        assert {each.version for each in bundle.versions} <= {"1.0", "2.0"}
        if bundle.current.version == "2.0":
            roll_back(state, "flowers")
        steps += 1
    assert steps > 10
    leftovers = [path.name for path in (state.bundles / "flowers").iterdir()]
    assert sorted(leftovers) == [".lock", "0001-1.0", "0002-2.0", "current"]
