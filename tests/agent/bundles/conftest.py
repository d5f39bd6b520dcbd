"""Bundles of small files, and a state folder to install them in."""

import pytest

from metanas.deploy.bundle import write_bundle
from metanas_agent.state import StateFolder

FILES = {"model.onnx": b"weights" * 1000, "card.md": b"# card\n", "empty": b""}


@pytest.fixture
def state(tmp_path):
    return StateFolder(tmp_path / "state")


@pytest.fixture
def make_bundle(tmp_path):
    def make(version, *, name="flowers", files=FILES):
        path = tmp_path / f"{name}-{version}.metanas"
        contents = {**files, "version": version.encode()}
        write_bundle(path, contents, name=name, version=version, card={"licence": "MIT"})
        return path

    return make
