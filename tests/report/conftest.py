"""A run folder as a whole run leaves it, at full size, from seeded numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metanas.deploy import (
    Agreement,
    EpisodeAccuracy,
    Network,
    PeakMemory,
    Prediction,
    Verification,
    write_verification,
)
from metanas.devices.device import DeviceDescription
from metanas.files import append_json_line, write_bytes, write_json
from metanas.profiling import CALL, LatencyTable, Sentinel, TableHeader, write_table
from metanas.provenance import provenance
from metanas.spaces import Architecture, CellsSpace, SearchSpace, VGG9Space
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement

COST = "latency_ms[local]"
ROUNDS = 20
POPULATION = 24


def measure(layer: LayerSpec, rng: np.random.Generator) -> Measurement:
    median_ms = float((0.003 + layer.macs / 4e7) * rng.lognormal(0, 0.05))
    return Measurement(
        key=layer.key,
        median_ms=median_ms,
        low_ms=median_ms * 0.99,
        high_ms=median_ms * 1.01,
        p10_ms=median_ms * 0.98,
        p90_ms=median_ms * 1.05,
        samples=40,
        repeats=3,
        source="measured",
        runtime="onnx",
        runtime_version="1.20.1",
    )


def make_table(space: SearchSpace[Any], rng: np.random.Generator) -> LatencyTable:
    device = DeviceDescription(
        name="local",
        machine="x86_64",
        processor="Example Processor 3000",
        cores=2,
        system="Linux 6.1",
        runtimes={"onnx": "1.20.1"},
        source="measured",
        agent_version="0.1.0",
        memory_bytes=8_000_000_000,
    )
    rows = {layer.key: measure(layer, rng) for layer in (CALL, *space.all_layers)}
    sentinel = Sentinel(CALL.key, 60, 0.003, 0.0029, 0.0032)
    made = provenance(seed=0)
    return LatencyTable(TableHeader(device, (space.settings,), {}, sentinel, made), rows)


def make_run(folder: Path, space: SearchSpace[Any], baseline: Architecture) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    table = make_table(space, rng)
    settings = {"ways": 5, "shots": 1, "data": "glyphs", "data_root": "", "seed": 0}
    write_json(folder / "run.json", {"settings": settings, "provenance": provenance(seed=0)})
    write_table(table, folder / "tables" / "local.tsv")
    scored = _write_search(folder, space, table, rng)
    within = (s for s in scored if s["costs"][COST] < 0.6 and s["costs"]["size_bytes"] < 4e5)
    winner = max(within, key=lambda s: s["accuracy"])
    _write_training(folder, rng)
    _write_evaluation(folder, space, table, baseline, winner["architecture"])
    _write_result(folder, scored, winner)
    write_verification(folder / "verify.json", _verification(winner["costs"][COST]))
    write_bytes(folder / "model.onnx", b"not read by a report")
    return folder


def costs_of(space, table, genes):
    costs = {
        name: getattr(space, name)(genes)
        for name in ("params", "size_bytes", "macs", "memory_bytes")
    }
    costs[COST] = table.latency_ms(space, genes)
    return {name: values.astype(float).tolist() for name, values in costs.items()}


def _write_search(folder, space, table, rng):
    settings = {"ways": 5, "population": POPULATION, "rounds": ROUNDS, "elite_share": 0.25}
    append_json_line(folder / "search.jsonl", {"settings": settings})
    scored = []
    for number in range(ROUNDS):
        genes = space.sample(POPULATION, rng)
        costs = costs_of(space, table, genes)
        accuracy = 0.9 - 0.3 * np.exp(-np.array(costs[COST]) * 2) + rng.normal(0, 0.02, POPULATION)
        accuracy = np.clip(accuracy + 0.002 * number, 0.2, 0.99)
        line = {
            "round": number,
            "architectures": [str(space.from_genes(row)) for row in genes],
            "tasks": [3] * POPULATION,
            "losses": (1.6 - 1.3 * accuracy).tolist(),
            "accuracies": accuracy.tolist(),
            "costs": costs,
            "seconds": 1.5,
        }
        append_json_line(folder / "search.jsonl", line)
        scored += [
            {
                "architecture": line["architectures"][row],
                "loss": line["losses"][row],
                "accuracy": line["accuracies"][row],
                "costs": {name: values[row] for name, values in costs.items()},
            }
            for row in range(POPULATION)
        ]
    return scored


def _write_result(folder, scored, winner):
    front, best = [], 0.0
    for candidate in sorted(scored, key=lambda s: s["costs"][COST]):
        if candidate["accuracy"] > best:
            front.append(candidate)
            best = candidate["accuracy"]
    result = {
        "winner": winner,
        "constraints": [
            {"metric": "latency_ms", "limit": 0.6, "device": "local"},
            {"metric": "size_bytes", "limit": 400000.0, "device": None},
        ],
        "front_cost": COST,
        "front": front,
        "finalists": [winner],
        "evaluated": len(scored),
        "provenance": provenance(seed=0),
    }
    write_json(folder / "search.json", result)


def _write_training(folder, rng):
    for name, top in (("supernet", 0.72), ("found", 0.93), ("baseline", 0.9)):
        for step in range(120):
            accuracy = float(top - (top - 0.2) * np.exp(-step / 25) + rng.normal(0, 0.02))
            line = {"step": step, "loss": 1.6 - accuracy, "accuracy": accuracy, "seconds": 0.25}
            if name == "found" and step % 20 == 19:
                line |= {"val_loss": None, "val_accuracy": accuracy - 0.05}
            with (folder / f"{name}.metrics.jsonl").open("a") as stream:
                stream.write(json.dumps(line) + "\n")


def _write_evaluation(folder, space, table, baseline, winner):
    def network(architecture, accuracy):
        costs = costs_of(space, table, space.encode([architecture]))
        return {
            "architecture": str(architecture),
            "costs": {name: value for name, (value,) in costs.items()},
            "deployed": {"accuracy": accuracy, "interval": 0.0061, "episodes": 600},
            "transductive": {"accuracy": accuracy + 0.01, "interval": 0.0055, "episodes": 600},
            "provenance": provenance(seed=0),
        }

    networks = {
        "baseline": network(baseline, 0.9127),
        "found": network(space.parse(winner), 0.9342),
    }
    write_json(folder / "evaluation.json", networks)


def _verification(latency_ms):
    return Verification(
        device="local",
        network=Network(name="found", architecture="k5c96relu-k3c16relu6"),
        agreement=Agreement(
            networks=10,
            images=750,
            largest_difference=3e-6,
            largest_share=4.2e-7,
            p999_share=2.2e-7,
            top1=1.0,
            tolerance=1e-4,
        ),
        device_accuracy=EpisodeAccuracy(accuracy=0.93, interval=0.01, episodes=10),
        host_accuracy=EpisodeAccuracy(accuracy=0.93, interval=0.01, episodes=10),
        predicted=Prediction(
            latency_ms=latency_ms,
            low_ms=latency_ms * 0.97,
            high_ms=latency_ms * 1.03,
            source="measured",
        ),
        measured=Measurement(
            key="0" * 64,
            median_ms=latency_ms * 1.08,
            low_ms=latency_ms * 1.07,
            high_ms=latency_ms * 1.1,
            p10_ms=latency_ms * 1.03,
            p90_ms=latency_ms * 1.3,
            samples=80,
            repeats=1,
            source="measured",
            runtime="onnx",
            runtime_version="1.20.1",
        ),
        medians_ms=tuple(latency_ms * (1.05 + i / 100) for i in range(10)),
        memory=PeakMemory(process_bytes=61_000_000, runtime_bytes=60_000_000),
        provenance=provenance(seed=0),
    )


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory) -> Path:
    """Read only: tests that change a file copy it first."""
    space = VGG9Space(input_shape=(1, 28, 28), ways=5)
    return make_run(tmp_path_factory.mktemp("runs") / "whole run", space, space.chain())


@pytest.fixture
def cells_run(tmp_path) -> Path:
    space = CellsSpace(input_shape=(1, 28, 28), ways=5, channels=4)
    return make_run(tmp_path / "cells", space, space.largest())


@pytest.fixture
def new_run(whole_run, tmp_path) -> Callable[[str], Path]:
    """Copy the whole run folder under that name."""
    return lambda name: Path(shutil.copytree(whole_run, tmp_path / name))
