"""Random networks become files: each is exported, checked, and compared with torch.

    python benchmarks/export_many.py [--networks 500] [--seed 0] [--workers 1] [--json]

A network is a random architecture of one of the spaces in turn, with random weights and the
batch-norm statistics of random images. Image size, opset and batch are drawn too, and down-sampling
and pooling where the space lets one choose.
`difference` is the largest one of any logit of 16 fresh images from torch's, as a share of the
range of the network's logits. One that fails is named with what is needed to make it again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.random_exports import Outcome, try_network


def main() -> None:
    parser = argparse.ArgumentParser(description="Export random networks and compare.")
    parser.add_argument("--networks", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    outcomes = []
    for outcome in try_networks(arguments.networks, arguments.seed, arguments.workers):
        outcomes.append(outcome)
        if outcome.failure or len(outcomes) % 50 == 0:
            print(describe(outcome), file=sys.stderr, flush=True)
    print(json.dumps([asdict(o) for o in outcomes]) if arguments.json else summarise(outcomes))
    sys.exit(any(outcome.failure for outcome in outcomes))


def try_networks(count: int, seed: int, workers: int) -> Iterator[Outcome]:
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(partial(try_network, seed), range(count))


def describe(outcome: Outcome) -> str:
    settings = f"{outcome.input} {outcome.downsampling} pool {outcome.pool}"
    file = f"opset {outcome.opset} batch {outcome.batch or 'free'}"
    result = outcome.failure or f"difference {outcome.difference:.1e}"
    return (
        f"{outcome.number}: {outcome.space} {outcome.architecture} {settings} {file}: "
        f"{outcome.seconds:.1f} s, {result}"
    )


def summarise(outcomes: list[Outcome]) -> str:
    good = [outcome for outcome in outcomes if not outcome.failure]
    lines = [f"{len(good)} of {len(outcomes)} networks export, check and agree"]
    for kind in ("space", "input", "downsampling", "opset", "batch"):
        counts = Counter(str(getattr(outcome, kind) or "free") for outcome in good)
        lines.append(f"{kind}: " + ", ".join(f"{key} {n}" for key, n in sorted(counts.items())))
    if good:
        differences = [outcome.difference for outcome in good]
        seconds = [outcome.seconds for outcome in good]
        lines += [
            f"difference: median {np.median(differences):.1e}, largest {max(differences):.1e}",
            f"top-1 equal: {np.mean([outcome.top1 for outcome in good]):.2%}",
            f"export: median {np.median(seconds):.1f} s, longest {max(seconds):.1f} s",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
