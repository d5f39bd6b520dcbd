"""A paired board is measured and runs networks: natively on ARMv6, with onnxruntime on arm64."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from boards.board import STATE
from metanas.deploy import Network, Prediction, export_onnx, verify
from metanas.devices import open_device
from metanas.errors import EmulatedTableError
from metanas.profiling import profile, read_table, refuse_emulated, table_name
from metanas.spaces import VGG9Space
from metanas_agent.timer import TimerSettings
from support.random_networks import (
    ARCHITECTURE,
    INPUT_SHAPE,
    WAYS,
    make_adapted,
    make_card,
    random_vgg9,
)

pytestmark = [pytest.mark.boards, pytest.mark.timeout(900)]

SETTINGS = TimerSettings(budget_ms=20)
LAYERS = 30
RELATIVE = 1e-4


@dataclass(frozen=True)
class Slice:
    """A space with only some of its layers: emulated boards are slow."""

    space: VGG9Space

    @property
    def all_layers(self):
        return self.space.all_layers[:: len(self.space.all_layers) // LAYERS]

    def __getattr__(self, name):
        return getattr(self.space, name)


@pytest.fixture(scope="module")
def space():
    return Slice(VGG9Space(input_shape=INPUT_SHAPE, ways=WAYS))


@pytest.fixture(params=["pi0", "pi4"])
def board(request, laptop, monkeypatch):
    """Either board, in reach of this process as the laptop's user."""
    laptop.use(monkeypatch)
    return request.getfixturevalue(request.param)


@pytest.fixture
def device(board):
    with closing(open_device(board.name)) as opened:
        yield opened


def test_a_slice_of_the_space_becomes_a_table_though_the_board_reboots(
    laptop, board, device, space, tmp_path
):
    path = tmp_path / table_name(board.name, space, device.describe().source)
    rows = []
    recovery = threading.Thread(target=laptop.pair, args=(board,))

    def watch(progress):
        if progress.row:
            rows.append(progress.row.key)
        if len(rows) == LAYERS // 2:
            board.reboot()
            recovery.start()

    profile(device, space, SETTINGS, path, rounds=1, on_progress=watch)
    recovery.join()
    assert path.name == f"{board.name}-vgg9-1x28x28-5way.emulated.tsv"
    table = read_table(path)
    assert {row.source for row in table.rows.values()} == {"emulated"}
    assert set(table.rows) >= {layer.key for layer in space.all_layers}
    with pytest.raises(EmulatedTableError):
        refuse_emulated(path)


def test_what_was_uploaded_bears_the_name_of_its_content(pi0, laptop, space, monkeypatch):
    laptop.use(monkeypatch)
    with closing(open_device("pi0")) as device:
        list(device.measure(space.all_layers[:1], SETTINGS))
    sums = pi0.ssh("sh", "-c", f"cd {STATE}/artifacts && sha256sum *").split()
    assert sums[::2] == sums[1::2] != []


def test_the_program_has_only_the_processor_of_a_pi_zero(pi0, laptop, space, monkeypatch):
    laptop.use(monkeypatch)
    with closing(open_device("pi0")) as device:
        rows = device.measure(space.all_layers, SETTINGS)
        next(rows)
        programs = [pid for pid, words in pi0.processes().items() if "/artifacts/" in words[0]]
        environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in programs]
        list(rows)
    assert environments
    assert all(b"QEMU_CPU=arm1176\0" in environment for environment in environments)


def test_pairing_again_does_not_disturb_what_is_measured(laptop, board, device, space):
    rows = device.measure(space.all_layers, SETTINGS)
    keys = [next(rows).key]
    agent = board.agent()
    assert laptop.pair(board)["description"] is None  # it is busy
    assert board.agent() == agent
    keys += [row.key for row in rows]
    assert keys == [layer.key for layer in space.all_layers]


def test_a_cable_that_is_pulled_for_a_while_costs_no_row(board, device, space):
    plug = threading.Timer(20, board.cable.plug_in)
    rows = []
    for row in device.measure(space.all_layers, SETTINGS):
        rows.append(row.key)
        if len(rows) == LAYERS // 2:
            board.cable.unplug()
            plug.start()
    plug.join()
    assert rows == [layer.key for layer in space.all_layers]


def test_the_board_computes_what_onnxruntime_computes_here(device):
    model = export_onnx(random_vgg9(), input_shape=INPUT_SHAPE, metadata=make_card())
    images = np.random.default_rng(0).standard_normal((5, *INPUT_SHAPE), np.float32)
    here = onnxruntime.InferenceSession(model).run(None, {"images": images})[0]
    there = device.run_model(model, images, SETTINGS)
    assert there.latency.source == "emulated"
    assert there.peak_memory_bytes > 0
    assert np.abs(there.outputs - here).max() <= RELATIVE * np.abs(here).max()


def test_an_exported_network_is_verified_on_the_board(device):
    module = random_vgg9()
    model = export_onnx(module, input_shape=INPUT_SHAPE, metadata=make_card())
    verification = verify(
        device,
        [make_adapted(module, model, seed=0)],
        predicted=Prediction(latency_ms=1.0, low_ms=0.9, high_ms=1.1, source="emulated"),
        settings=SETTINGS,
        network=Network(name="found", architecture=ARCHITECTURE),
    )
    assert verification.agreement.top1 == 1
    assert verification.agreement.within
    assert verification.measured.source == "emulated"
