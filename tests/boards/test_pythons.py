"""The agent on newer Pythons than this one: whole systems of this machine's own architecture."""

from __future__ import annotations

import json
import platform
import subprocess
from contextlib import closing

import numpy as np
import onnxruntime
import pytest

from boards.board import STATE
from boards.rootfs import Recipe
from metanas.deploy import compare, export_onnx
from metanas.deploy.bundle import write_bundle
from metanas.devices import open_device
from metanas_agent.timer import TimerSettings
from support.random_networks import INPUT_SHAPE, make_card, random_vgg9

pytestmark = [pytest.mark.boards, pytest.mark.timeout(900)]

SUITES = {"3.13": "trixie", "3.14": "sid"}
"""Python to the suite of Debian's that has it."""

SETTINGS = TimerSettings(budget_ms=50)
OURS = {"ifaddr", "metanas_agent", "msgpack", "zeroconf"}

PROFILE = """\
kind = "board"
cpu = "any"
abis = ["x86_64"]
runtime = "native"
target = "x86-64"
"""

IMPORTED = """\
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import metanas_agent.cli, metanas_agent.worker, zeroconf.asyncio
names = {name.partition('.')[0] for name in set(sys.modules) - before}
print(*names - set(sys.stdlib_module_names))
"""


@pytest.fixture(scope="module", params=SUITES)
def version(request):
    """Of Python."""
    return request.param


@pytest.fixture(scope="module")
def board(new_board, laptop, version):
    """A system whose only Python is that one, paired."""
    if platform.machine() != "x86_64":
        pytest.skip("its programs are built for x86-64")
    packages = (f"python{version}", "openssh-server")
    recipe = Recipe("amd64", cpu="", suite=SUITES[version], packages=packages)
    profiles = laptop.home / ".config" / "metanas" / "devices"
    profiles.mkdir(parents=True, exist_ok=True)
    (profiles / "server.toml").write_text(PROFILE)
    with new_board(f"python{version.replace('.', '')}", recipe) as made:
        laptop.pair(made, "--profile", "server")
        yield made


def agent(board, version, *arguments):
    """What a command of the agent's prints; there is no `python3`."""
    script = f'exec python{version} {STATE}/agent/*.pyz "$@"'
    return board.ssh("sh", "-c", script, "sh", *arguments)


def test_the_agent_runs_with_it(laptop, board, version):
    assert board.processes()[board.agent()][0].endswith(f"/python{version}")
    assert laptop.devices()[board.device_id()]["state"] == "free"


def test_it_imports_only_the_library_and_what_it_brings(board, version):
    script = f'exec python{version} -W error -c "$1" {STATE}/agent/*.pyz'
    assert set(board.ssh("sh", "-c", script, "sh", IMPORTED).split()) == OURS


def test_nothing_warns(board, version):
    """Of what is deprecated there, in the agent or its workers."""
    script = f'PYTHONWARNINGS=error exec python{version} {STATE}/agent/*.pyz "$@" 2>&1'
    said = json.loads(board.ssh("sh", "-c", script, "sh", "info", "--json"))
    assert set(said["runtimes"]) == {"native"}


def test_a_network_is_timed_by_a_runtime_that_needs_nothing(laptop, board, monkeypatch):
    laptop.use(monkeypatch)
    model = export_onnx(random_vgg9(), input_shape=INPUT_SHAPE, metadata=make_card())
    images = np.random.default_rng(0).standard_normal((5, *INPUT_SHAPE), np.float32)
    here = onnxruntime.InferenceSession(model).run(None, {"images": images})[0]
    with closing(open_device(board.name)) as device:
        there = device.run_model(model, images, SETTINGS)
    assert compare([(here, there.outputs)]).within
    assert (there.latency.source, there.latency.runtime) == ("measured", "native")
    assert there.latency.samples >= SETTINGS.min_samples


def test_a_bundle_is_installed(board, version, tmp_path):
    path = tmp_path / "flowers.metanas"
    write_bundle(path, {"model.onnx": b"weights"}, name="flowers", version="1.0")
    board.put(path)
    assert agent(board, version, "install", path.name).startswith("flowers 1.0 is installed in ")
    with pytest.raises(subprocess.CalledProcessError) as failure:
        agent(board, version, *"learn --support photos --bundle flowers -o mine.onnx".split())
    assert failure.value.stderr.endswith("run: pip install numpy onnxruntime pillow)\n")
    assert failure.value.stderr.count("\n") == 1
