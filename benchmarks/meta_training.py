"""Meta-training tasks a second: metanas, learn2learn's MAML and HowToTrainYourMAMLPytorch.

    python benchmarks/meta_training.py --learn2learn FOLDER --maml-pytorch FOLDER
        [--work omniglot] [--workers 2] [--rounds 15] [--json]

A FOLDER is a checkout of the project, or the address of its git repository, which is cloned to a
temporary folder. All three make outer steps of Adam in second order on the same kind of tasks, five
inner steps each, with the same network; first their meta-gradients are compared in float64. Then
each makes one outer step a round, in a new order every round: metanas with one worker a core, the
others with each number of threads up to that, in a process as they would have it and in one with
metanas's setting of the C library's allocator, from which all gain. A round's ratio is metanas's
speed over that of whichever of the others has the highest median. With `--workers 1`, which is for
busy machines, the time is the processor's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meta_training_process import PEERS, PeerProcess, Step, make_peers
from meta_training_work import Work, train_metanas
from metanas.data import Episodes
from metanas.meta import MetaParameters, meta_loss
from metanas.parallel import Workers

WORKS = {
    "omniglot": Work((1, 28, 28), ways=20, queries=1, channels=64, tasks=8),
    "mini-imagenet": Work((3, 84, 84), 5, 15, channels=48, downsampling="pooled", pool=6, tasks=2),
    "mini-imagenet-strided": Work((3, 84, 84), 5, 15, channels=64, tasks=4),
}
SMALL = {"ways": 3, "queries": 2, "channels": 16, "pool": 1, "tasks": 2}
AGREEMENT = 1e-9

PROCESSES = {"as it comes": False, "memory kept": True}
"""How a peer's process is set up, and whether its allocator is set as metanas sets it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--learn2learn", required=True, metavar="FOLDER")
    parser.add_argument("--maml-pytorch", required=True, metavar="FOLDER")
    parser.add_argument("--work", choices=WORKS, default="omniglot")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    work, processor_time = WORKS[options.work], options.workers == 1
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sources = zip(PEERS, (options.learn2learn, options.maml_pytorch), strict=True)
        folders = {name: checkout(source, temporary / name) for name, source in sources}
        processes = {
            setting: stack.enter_context(
                PeerProcess(folders, work, memory_kept=kept, processor_time=processor_time)
            )
            for setting, kept in PROCESSES.items()
        }
        small = replace(work, input_shape=(work.input_shape[0], 16, 16), **SMALL)
        differences = disagreements(small, folders)
        workers = stack.enter_context(Workers(options.workers))
        ours = metanas_step(workers, work, processor_time=processor_time)
        steps = {f"metanas, {options.workers} workers": ours} | {
            f"{name} {setting}, {threads} threads": process.step(name, threads)
            for setting, process in processes.items()
            for name in PEERS
            for threads in range(1, options.workers + 1)
        }
        speeds = tasks_per_second(steps, work.tasks, options.rounds)
    print(json.dumps(speeds) if options.json else report(options.work, speeds, differences))


def checkout(source: str, folder: Path) -> Path:
    if Path(source).is_dir():
        return Path(source).resolve()
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", source, folder], check=True)
    return folder


def disagreements(work: Work, folders: Mapping[str, Path]) -> dict[str, float]:
    """Largest difference of each peer's meta-gradient, as a share of its largest entry."""
    plan = work.plan()
    start = MetaParameters.from_named(
        {name: t.detach().double().requires_grad_() for name, t in plan.initialise().named()}
    )
    episodes = double(plan.sampler.batch(0, work.tasks))
    network = plan.space.network(plan.corners[0])
    weights = plan.outer.step_weights(epoch=0)
    loss = meta_loss(network, start, episodes, step_weights=weights).loss
    leaves = start.adapted | start.norms
    gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    ours = dict(zip(leaves, gradients, strict=True))
    found = {}
    for name, peer in make_peers(folders, work, start).items():
        pairs = [(ours[key].view_as(g), g) for key, g in peer.meta_gradient(episodes).items()]
        largest = max(float(theirs.abs().max()) for _, theirs in pairs)
        found[name] = max(float((mine - theirs).abs().max()) for mine, theirs in pairs) / largest
        assert found[name] < AGREEMENT, f"{name} computes something else: {found[name]:.1g}"
    return found


def double(episodes: Episodes) -> Episodes:
    return replace(
        episodes,
        support_images=episodes.support_images.double(),
        query_images=episodes.query_images.double(),
    )


def metanas_step(workers: Workers, work: Work, *, processor_time: bool) -> Step:
    """The outer step on all workers; with one of them the processor's time can be told."""
    clock = time.process_time if processor_time else time.perf_counter

    def step(number: int) -> float:
        begin = clock()
        workers.run(train_metanas, work, number)
        return clock() - begin

    return step


def tasks_per_second(steps: dict[str, Step], tasks: int, rounds: int) -> dict[str, list[float]]:
    """Of each round; a first one, which finds memory and builds what is built once, is left out."""
    rng = np.random.default_rng(0)
    names = list(steps)
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for place in rng.permutation(len(names)):
            speeds[names[place]].append(tasks / steps[names[place]](number))
    return {name: values[1:] for name, values in speeds.items()}


def report(work: str, speeds: dict[str, list[float]], differences: dict[str, float]) -> str:
    ours, *others = speeds
    rows: dict[str, Any] = {f"{name}, tasks/s": values for name, values in speeds.items()}
    for setting in PROCESSES:
        alike = [name for name in others if f" {setting}," in name]
        best = max(alike, key=lambda name: float(np.median(speeds[name])))
        rows[f"metanas: times the speed of {best}"] = np.array(speeds[ours]) / speeds[best]
    lines = [f"{work}, {len(speeds[ours])} rounds: median, 10% and 90% of the rounds"]
    for name, values in rows.items():
        low, middle, high = np.percentile(values, [10, 50, 90])
        lines.append(f"  {name:<64}{middle:>8.2f}{low:>8.2f}{high:>8.2f}")
    agree = ", ".join(f"{value:.1g} from {name}'s" for name, value in differences.items())
    return "\n".join([*lines, f"Meta-gradients differ by {agree} (float64, of the largest entry)."])


if __name__ == "__main__":
    main()
