"""How long an adaptation takes, and whether its cheap selection chooses as well as the dear one.

    metanas train runs/omniglot --data omniglot                     # any training, however short
    python benchmarks/adaptation.py runs/omniglot [--constraint 'macs<=5M'] [--rounds 200]
    python benchmarks/adaptation.py runs/omniglot --agreement 3 [--population 24] [--rounds 8]

The first times the search alone, P x M with 16 tasks, by the super-network of a run folder; with
fewer --rounds than 200 it says what all 200 would take. The second searches once a seed by the
default settings and once as algorithm 1 has it, every architecture on all tasks of every round,
and compares both winners on tasks that neither has seen.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metanas.meta import evaluate_loss
from metanas.parallel import Group, Workers
from metanas.runs import SUPERNET, RunFolder, load_trained, search
from metanas.search import SearchResult, SearchRound, SearchSettings

ROUNDS = 200
FRESH_BATCHES = 128
FRESH_TASKS = 2
FRESH_SEED = 1_000_003
Z_95 = 1.96


def main() -> None:
    options = arguments()
    source = RunFolder.open(options.run)
    settings = SearchSettings(
        population=options.population, rounds=options.rounds, tasks=options.tasks
    )
    with Workers(options.workers) as workers:
        if options.agreement:
            seeds = range(options.agreement)
            found: Any = [
                agreement(workers, source, options.constraint, settings, s) for s in seeds
            ]
        else:
            found = timed(workers, source, options.constraint, settings)
    if options.json:
        print(json.dumps(found, indent=2))
    elif options.agreement:
        print(*map(told, found), sep="\n")
    else:
        print(*(f"{name}: {value}" for name, value in found.items()), sep="\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="run folder with a trained super-network")
    parser.add_argument("--constraint", action="append")
    parser.add_argument("--population", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--agreement", type=int, default=0, metavar="SEEDS")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.constraint = options.constraint or ["macs<=5M"]
    return options


@contextmanager
def fresh_folder(source: RunFolder) -> Iterator[RunFolder]:
    """A run folder with the super-network alone, so that nothing is gone on from."""
    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder.create(Path(path) / "run", source.settings)
        folder.take_over(source, SUPERNET)
        yield folder


def timed(
    workers: Workers, source: RunFolder, constraints: list[str], settings: SearchSettings
) -> dict[str, Any]:
    """What a search takes, and where it leads.

    Beside the wall's minutes stand the processor's of the leading worker: on a machine that does
    other things too, they are nearer to what a quiet one would take.
    """
    rounds: list[SearchRound] = []
    clocks: list[tuple[float, float]] = [(time.perf_counter(), time.process_time())]

    def observe(line: SearchRound) -> None:
        rounds.append(line)
        clocks.append((time.perf_counter(), time.process_time()))

    with fresh_folder(source) as folder:
        result = search(workers, folder, constraints, settings, observer=observe)
    clocks.append((time.perf_counter(), time.process_time()))
    wall, processor = (minutes(clock) for clock in np.array(clocks).T)
    return {
        "constraints": ", ".join(constraints),
        "population": settings.population,
        "rounds": settings.rounds,
        "workers": workers.group.size,
        "architectures": result.evaluated,
        "evaluations": result.evaluations,
        "evaluations_exhaustive": settings.population * settings.rounds * settings.tasks,
        "minutes": wall,
        "processor_minutes": processor,
        "winner": result.winner.architecture,
        "winner_macs": result.winner.costs["macs"],
        "winner_accuracy": result.winner.accuracy,
        "least_loss_first_round": rounds[0].least_loss,
        "winner_loss": result.winner.loss,
    }


def minutes(clock_s: NDArray[np.float64]) -> dict[str, float]:
    """From a clock at the start, after each round, and at the end.

    The first round, of new architectures only, takes longer than the others.
    """
    first, *others, last = np.diff(clock_s)
    whole = first + sum(others) * (ROUNDS - 1) / max(len(others), 1) + last
    parts = {"rounds": first + sum(others), "final comparison": last, f"of {ROUNDS} rounds": whole}
    return {name: round(float(seconds) / 60, 2) for name, seconds in parts.items()}


def agreement(
    workers: Workers,
    source: RunFolder,
    constraints: list[str],
    settings: SearchSettings,
    seed: int,
) -> dict[str, Any]:
    """Losses of both searches' winners, and of the first population's middle, on fresh tasks."""
    cheap = replace(settings, seed=seed)
    dear = replace(
        cheap,
        first_tasks=settings.tasks,
        task_rounds=1,
        queries=source.settings.queries,
    )
    results: dict[str, SearchResult] = {}
    for name, chosen in (("cheap", cheap), ("exhaustive", dear)):
        with fresh_folder(source) as folder:
            results[name] = search(workers, folder, constraints, chosen)
            if name == "exhaustive":
                middle = middle_architecture(folder)
    texts = {name: result.winner.architecture for name, result in results.items()}
    losses = {
        name: workers.run(fresh_losses, source, text)
        for name, text in (texts | {"middle": middle}).items()
    }
    regret = losses["cheap"] - losses["exhaustive"]
    return {
        "seed": seed,
        "evaluations": {name: result.evaluations for name, result in results.items()},
        "winners": texts,
        "fresh_loss": {name: round(float(values.mean()), 4) for name, values in losses.items()},
        "regret": round(float(regret.mean()), 4),
        "regret_interval": round(Z_95 * float(regret.std(ddof=1)) / len(regret) ** 0.5, 4),
    }


def middle_architecture(folder: RunFolder) -> str:
    """That with the median loss in the first round."""
    line = json.loads(folder.search_journal.read_text().splitlines()[1])
    order = np.argsort(line["losses"])
    text: str = line["architectures"][order[len(order) // 2]]
    return text


def fresh_losses(group: Group, source: RunFolder, text: str) -> NDArray[np.float64]:
    """Mean loss of each batch of tasks that no search has drawn."""
    data = source.settings.load_data()
    space = source.settings.make_space(data)
    network = space.network(space.parse(text))
    parameters = load_trained(source, SUPERNET).to(group.device).cut(network)
    sampler = replace(source.settings, seed=FRESH_SEED).sampler(data, "val")
    losses = np.zeros(FRESH_BATCHES)
    for index in group.share(FRESH_BATCHES):
        episodes = sampler.batch(index, FRESH_TASKS, device=group.device)
        losses[index], _ = evaluate_loss(
            network, parameters, episodes, query_norm=source.settings.query_norm
        )
    return group.sum(torch.from_numpy(losses)).numpy()


def told(found: dict[str, Any]) -> str:
    fresh, evaluations = found["fresh_loss"], found["evaluations"]
    return (
        f"seed {found['seed']}: cheap {fresh['cheap']} by {evaluations['cheap']} evaluations, "
        f"exhaustive {fresh['exhaustive']} by {evaluations['exhaustive']}, "
        f"a middling one {fresh['middle']}; "
        f"regret {found['regret']:+.4f} ± {found['regret_interval']:.4f}"
    )


if __name__ == "__main__":
    main()
