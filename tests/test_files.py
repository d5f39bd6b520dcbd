import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.errors import InvalidSettingsError
from metanas.files import (
    append_json_line,
    cache_folder,
    read_json_lines,
    replacing,
    write_bytes,
    write_json,
    write_json_lines,
    write_text,
)
from metanas.provenance import provenance

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "new folder" / "file"
    write_text(path, "first ✓\n")
    assert path.read_text(encoding="utf-8") == "first ✓\n"
    with path.open("rb") as opened_before:
        write_bytes(path, b"\x00\xff")
        assert opened_before.read() == "first ✓\n".encode()  # another file now has the name
    assert path.read_bytes() == b"\x00\xff"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_file(tmp_path, full_disk):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="File too large") as caught, full_disk():
        write_bytes(path, b"x" * 1000)
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    real, link = tmp_path / "real", tmp_path / "links" / "link"
    real.write_text("old")
    link.parent.mkdir()
    link.symlink_to("../real")
    with real.open("rb") as opened_before:
        write_text(link, "new")
        assert opened_before.read() == b"old"
    assert (link.readlink(), real.read_text()) == (Path("../real"), "new")
    assert list(link.parent.iterdir()) == [link]


def test_a_link_to_what_is_not_there_yet(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("folder/new")
    write_text(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "folder" / "new").read_text() == "new"


def test_a_pipe_is_written_into(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        for path in (pipe, link):
            write_bytes(path, b"what was written")
            assert reader.read(100) == b"what was written"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [link, pipe]


def test_a_device_stays_a_device(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        write_text(device, "what nobody reads")
    except PermissionError:
        pytest.skip("only root can make a device, where the file system lets it")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert list(tmp_path.iterdir()) == [device]


def test_a_socket_is_refused(tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with pytest.raises(InvalidSettingsError, match="socket, and no file"):
            write_text(path, "")
    assert stat.S_ISSOCK(path.stat().st_mode)


STANDARD_OUTPUT = """
import sys
from pathlib import Path
from metanas.files import write_text
print("before", flush=True)
write_text(Path("/dev/stdout"), "written\\n")
print("after", flush=True)
"""


def test_standard_output_is_written_to_in_its_turn(tmp_path):
    command = [sys.executable, "-c", STANDARD_OUTPUT]
    path = tmp_path / "output"
    for _ in range(2):
        with path.open("ab") as output:
            subprocess.run(command, stdout=output, check=True)
    assert path.read_text() == 2 * "before\nwritten\nafter\n"
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"before\nwritten\nafter\n"


def test_an_error_names_what_was_asked_for(tmp_path):
    file, loop = tmp_path / "file", tmp_path / "loop"
    file.touch()
    loop.symlink_to(loop)
    for path, error, named in (
        (tmp_path, IsADirectoryError, tmp_path),
        (file / "new", NotADirectoryError, file),
        (file / "folder" / "new", NotADirectoryError, file),
        (loop, OSError, loop),
        (Path("/proc/new"), FileNotFoundError, "/proc/new"),
    ):
        with pytest.raises(error) as caught:
            write_text(path, "")
        assert caught.value.filename == str(named)
    assert sorted(tmp_path.iterdir()) == [file, loop]


def test_a_new_file_has_the_rights_that_the_user_asks_for(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_json_is_readable_and_strict(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"name": "é", "values": [1, 0.5]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "é", "values": [1, 0.5]}
    assert "é" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="nan"):
        write_json(path, float("nan"))
    assert json.loads(path.read_text(encoding="utf-8"))["values"] == [1, 0.5]


# Journals


@given(values=st.lists(VALUES, max_size=5), torn=st.binary(max_size=8))
def test_a_journal_keeps_every_line_but_a_torn_one(tmp_path_factory, values, torn):
    path = tmp_path_factory.mktemp("journal") / "lines.jsonl"
    assert read_json_lines(path) == []
    for value in values:
        append_json_line(path, value)
    with path.open("ab") as stream:
        stream.write(torn.replace(b"\n", b""))
    assert read_json_lines(path) == values
    append_json_line(path, "after")
    assert read_json_lines(path) == [*values, "after"]


@given(first=VALUES, second=VALUES, data=st.data())
def test_a_line_torn_at_any_byte_is_cut_off(tmp_path_factory, first, second, data):
    path = tmp_path_factory.mktemp("journal") / "lines.jsonl"
    append_json_line(path, first)
    whole = path.stat().st_size
    append_json_line(path, second)
    torn_at = data.draw(st.integers(whole, path.stat().st_size - 1))
    os.truncate(path, torn_at)
    assert read_json_lines(path) == [first]
    append_json_line(path, second)
    assert read_json_lines(path) == [first, second]


def test_a_journal_is_replaced_as_a_whole(tmp_path, full_disk):
    path = tmp_path / "lines.jsonl"
    write_json_lines(path, [{"step": 0}, "é"])
    assert read_json_lines(path) == [{"step": 0}, "é"]
    with pytest.raises(OSError, match="File too large"), full_disk():
        write_json_lines(path, ["long"] * 100)
    assert read_json_lines(path) == [{"step": 0}, "é"]


def test_a_full_disk_under_a_journal_is_told_by_its_name(tmp_path, full_disk):
    path = tmp_path / "lines.jsonl"
    append_json_line(path, 1)
    with pytest.raises(OSError, match="File too large") as caught, full_disk():
        append_json_line(path, "long" * 100)
    assert caught.value.filename == str(path)
    append_json_line(path, 2)
    assert read_json_lines(path) == [1, 2]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('1\n{"torn\n2\n')
    with pytest.raises(ValueError, match="Unterminated"):
        read_json_lines(path)


def test_a_journal_takes_no_value_that_is_not_json(tmp_path):
    path = tmp_path / "lines.jsonl"
    append_json_line(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_json_line(path, float("inf"))
    assert read_json_lines(path) == [1]


KILLED = """
import sys
from pathlib import Path
from metanas.files import append_json_line, write_json
folder = Path(sys.argv[1])
index = 0
while True:
    write_json(folder / "state.json", list(range(index)))
    append_json_line(folder / "lines.jsonl", index)
    index += 1
"""


def test_a_kill_at_any_instant_leaves_whole_files(tmp_path):
    journal, state = tmp_path / "lines.jsonl", tmp_path / "state.json"
    for _ in range(3):
        before = len(read_json_lines(journal))
        with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)]) as process:
            while len(read_json_lines(journal)) < before + 20 and process.poll() is None:
                time.sleep(0.01)
            process.kill()
        assert len(read_json_lines(journal)) >= before + 20
        numbers = json.loads(state.read_text())
        assert numbers == list(range(len(numbers)))


def test_provenance_says_what_made_a_file(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/metanas", "train", "my run"])
    made = provenance(seed=3)
    assert made["command"] == "metanas train 'my run'"
    assert made["seed"] == 3
    assert "seed" not in provenance()
    assert {"version", "python", "machine", "made"} <= made.keys()


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("METANAS_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("METANAS_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "metanas"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "metanas"
