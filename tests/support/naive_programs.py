"""Programs that speak the harness protocol, or break it; what one does, its name decides."""

import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).parent.parent / "agent/programs/naive.c"


class NaivePrograms:
    """Compiled once into a folder."""

    def __init__(self, folder):
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler")
        self._folder = folder
        self._compiled = folder / "compiled"
        command = [compiler, "-O2", "-static", "-o", self._compiled, _SOURCE, "-lm"]
        subprocess.run(command, check=True)

    def __call__(self, name):
        """Path of the program of that name."""
        path = self._folder / name
        if not path.exists():
            path.hardlink_to(self._compiled)
        return path
