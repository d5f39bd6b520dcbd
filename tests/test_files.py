import json
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    with pytest.raises(OSError, match="File too large"), full_disk():
        write_bytes(path, b"x" * 1000)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


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
