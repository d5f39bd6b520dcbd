"""A board's folder: models of one export, and pictures of three classes."""

import subprocess
import sys

import pytest

from support.prototypes import write_models, write_pictures


@pytest.fixture
def graph(tmp_path):
    return write_models(tmp_path / "export")


@pytest.fixture
def support(tmp_path):
    return write_pictures(tmp_path / "support")


@pytest.fixture
def metanas_agent(tmp_path):
    """The command, run in the test's folder."""

    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "metanas_agent", *map(str, arguments)],
            **{"cwd": tmp_path, **options},
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )

    return run
