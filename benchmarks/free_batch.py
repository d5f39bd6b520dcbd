"""Does a free batch dimension cost latency? ONNX Runtime on this machine, one thread.

    python benchmarks/free_batch.py [--space vgg9] [--input 1x28x28] [--networks 20] [--json]

Of random networks, three files are timed with one image, in turns:

- free: as `metanas.deploy` exports it; this is what is verified on a device;
- fixed: the same file, its batch set to 1;
- random: with random weights, batch 1; such files calibrate a table.

`again` is `fixed` timed once more, as a file of its own: what differs by less than it is noise. A
figure is the latency by that of `fixed`: its median over the networks, and the 10th and 90th
percentile.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fidelity_tasks import Clock, as_tensor
from input_shape import input_shape
from interleaved import Run, Task, time_interleaved
from metanas.profiling import network_model
from metanas.spaces import SPACES, make_space
from metanas_agent.pinning import pinned
from metanas_agent.timer import TimerSettings, time_call
from support.sampled_networks import export_architecture

COMPARED = ("free", "random", "again")


def main() -> None:
    options = parse_options()
    space = make_space(options.space, input_shape=options.input, ways=5)
    rng = np.random.default_rng(options.seed)
    settings = pinned(TimerSettings(budget_ms=options.budget_ms))
    clock = Clock(space, settings)
    image = as_tensor(rng.uniform(-1, 1, (1, *options.input)).astype(np.float32))

    def task(model: bytes) -> Task:
        def timed() -> np.ndarray:
            sampler = clock.runtime.load(model).prepare(image)
            return np.array([time_call(sampler, settings).median_ms])

        return timed

    networks = [space.from_genes(row) for row in space.sample(options.networks, rng)]
    tasks: dict[str, Task] = {}
    for number, architecture in enumerate(networks):
        free = export_architecture(space, str(architecture))
        fixed = with_batch_of_one(free)
        random = network_model(space, architecture, seed=options.seed)
        files = {"free": free, "fixed": fixed, "random": random, "again": fixed}
        tasks |= {f"{kind} {number}": task(model) for kind, model in files.items()}
    run = time_interleaved(tasks, clock.sentinel(), rounds=options.rounds, again=2, rng=rng)
    report = {kind: ratios(run, kind, len(networks)) for kind in COMPARED}
    print(json.dumps(report, indent=2) if options.json else as_text(report))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--space", choices=sorted(SPACES), default="vgg9")
    parser.add_argument("--input", type=input_shape, default=(1, 28, 28), metavar="CxHxW")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget-ms", type=float, default=100.0, help="of one timing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def with_batch_of_one(model: bytes) -> bytes:
    """The same file for one image at a time."""
    proto = onnx.load_model_from_string(model)
    del proto.graph.value_info[:]  # shapes with the free batch
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    fixed: bytes = onnx.shape_inference.infer_shapes(proto).SerializeToString()
    return fixed


def ratios(run: Run, kind: str, networks: int) -> dict[str, float]:
    """Of the networks' latencies by those of `fixed`."""
    found = [run.best(f"{kind} {at}")[0] / run.best(f"fixed {at}")[0] for at in range(networks)]
    p10, median, p90 = np.percentile(found, (10, 50, 90))
    return {"median": float(median), "p10": float(p10), "p90": float(p90)}


def as_text(report: dict[str, dict[str, float]]) -> str:
    return "\n".join(
        f"{kind:8} {found['median']:.3f}  ({found['p10']:.3f} to {found['p90']:.3f})"
        for kind, found in report.items()
    )


if __name__ == "__main__":
    main()
