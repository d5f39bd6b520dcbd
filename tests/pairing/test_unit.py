from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from metanas.pairing import on_board
from metanas.pairing.unit import UNIT, unit_text

COMMAND = ["/usr/bin/python3", "/home/pi/a.pyz", "serve", "--port", "7431"]


def test_the_unit_comes_back_whatever_happens() -> None:
    lines = unit_text(COMMAND).splitlines()
    assert "Restart=always" in lines
    assert "StartLimitIntervalSec=0" in lines
    assert "WantedBy=default.target" in lines


def test_both_ends_mean_the_same_unit() -> None:
    assert on_board.UNIT == UNIT


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_finds_no_fault_with_it(tmp_path: Path) -> None:
    strange = tmp_path / "a strange 100%; place" / "python3"
    strange.parent.mkdir()
    strange.touch(mode=0o755)
    unit = tmp_path / UNIT
    unit.write_text(unit_text([str(strange), 'a "quoted" 100% $HOME\\folder; yes\n', "é"]))
    command = ["systemd-analyze", "--user", "verify", str(unit)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
