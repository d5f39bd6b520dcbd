"""Other Pythons of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def other_python(version: str) -> str:
    """One that runs, from the PATH or of pyenv; skips the test where there is none."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    found = [shutil.which(name), *map(str, sorted(pyenv.glob(f"{version}.*/bin/{name}")))]
    for python in filter(None, found):
        if not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
            return python
    pytest.skip(f"no {name} in the PATH or of pyenv")
