"""`metanas` as its console script runs it, and what a failure of it must look like."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metanas.cli.app import main


def run_metanas(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *arguments: object,
    entry: Callable[[], object] = main,
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["metanas", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        entry()
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_one_clear_line(err: str, *parts: str) -> None:
    """One line that says what is wrong, no traceback, and these parts somewhere."""
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(line) < 600
    for part in parts:
        assert part in err, err
