"""Few-shot accuracy at the paper's scale, or at a share of it: tables 2, 4 and 5 of H-Meta-NAS.

    python benchmarks/accuracy.py ROW ... --folder F [--scale 0.01] [--accelerator cuda]
        [--supernet-scale 0.001] [--population 100] [--rounds 200] [--validation-tasks 100]
        [--only-baseline] [--json]

Each row is the whole pipeline: train the hand-made network of MAML++, meta-train the super-network,
adapt it under the row's constraints, retrain what was found as long as the hand-made one; both are
evaluated over 600 test episodes. With --scale 1 that is the paper's schedule of 100 epochs of 500
outer steps; the super-network and the search may be given a smaller share of theirs.
An interrupted run goes on from its folder. Accuracies are given in both batch-norm protocols.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from accuracy_rows import ROWS, Row
from metanas.cli import stages
from metanas.files import read_json_lines
from metanas.meta import OuterSettings, ValidationSettings
from metanas.parallel import Workers
from metanas.runs import FOUND, SUPERNET, RunFolder
from metanas.search import SearchSettings, ShrinkingSettings

BASELINE = "baseline"
EPISODES = 600
START_EPOCH = 30
CURVE_POINTS = 8


def main() -> None:
    """Run the rows that were asked for, and print each as soon as it is there."""
    arguments = _arguments()
    for name in arguments.rows:
        row = ROWS[name]
        settings = replace(row.settings, seed=arguments.seed, workers=arguments.workers)
        stages.check_settings(settings)
        folder = RunFolder.create(arguments.folder / name, settings)
        outer = scaled(row.outer, arguments.scale, arguments.seed)
        validation = ValidationSettings(tasks=arguments.validation_tasks)
        search = SearchSettings(
            population=arguments.population, rounds=arguments.rounds, seed=arguments.seed
        )
        with Workers(arguments.workers, arguments.accelerator) as workers:
            if row.baseline:
                train(workers, folder, BASELINE, row.baseline, outer, validation)
            if not arguments.only_baseline:
                share = arguments.supernet_scale or arguments.scale
                supernet = scaled(row.outer, share, arguments.seed)
                found = _found(workers, folder, row, supernet, search)
                train(workers, folder, FOUND, found, outer, validation)
        for entry in entries(folder, row):
            print(json.dumps({"row": name} | entry) if arguments.json else _line(name, entry))


def scaled(outer: OuterSettings, scale: float, seed: int) -> OuterSettings:
    """The same schedule with fewer outer steps an epoch."""
    return replace(outer, iterations=max(round(outer.iterations * scale), 1), seed=seed)


def train(
    workers: Workers,
    folder: RunFolder,
    name: str,
    architecture: str,
    outer: OuterSettings,
    validation: ValidationSettings,
) -> None:
    """Meta-train and evaluate one network."""
    stages.meta_train_network(workers, folder, name, architecture, outer, validation)
    stages.evaluate_trained(workers, folder, name, EPISODES)


def entries(folder: RunFolder, row: Row) -> Iterator[dict[str, Any]]:
    """What `evaluation.json` and the metrics say of each network."""
    evaluations = folder.read_json(folder.evaluation, made_by="benchmarks/accuracy.py")
    for name, evaluation in evaluations.items():
        trained = [SUPERNET, "search", name] if name == FOUND else [name]
        yield {
            "network": name,
            "paper": row.paper if name == FOUND else "",
            "architecture": evaluation["architecture"],
            "params": evaluation["costs"]["params"],
            "macs": evaluation["costs"]["macs"],
            "minutes": {stage: round(minutes(folder, stage), 1) for stage in trained},
            "curve": curve(folder, name),
            "episodes": EPISODES,
            "transductive": evaluation["transductive"],
            "deployed": evaluation["deployed"],
        }


def minutes(folder: RunFolder, stage: str) -> float:
    """Time that a stage's steps took, in all its runs."""
    path = folder.search_journal if stage == "search" else folder.training(stage).metrics
    return sum(line.get("seconds", 0.0) for line in read_json_lines(path)) / 60


def curve(folder: RunFolder, name: str) -> list[tuple[float, float]]:
    """Validation accuracy against the minutes of training before it, at a few epochs."""
    points, seconds = [], 0.0
    for line in read_json_lines(folder.training(name).metrics):
        seconds += line["seconds"]
        if "val_accuracy" in line:
            points.append((round(seconds / 60, 2), round(line["val_accuracy"], 4)))
    return points[:: max(len(points) // CURVE_POINTS, 1)]


def _found(
    workers: Workers, folder: RunFolder, row: Row, outer: OuterSettings, search: SearchSettings
) -> str:
    shrinking = ShrinkingSettings(start_epoch=START_EPOCH, end_epoch=outer.epochs)
    stages.meta_train_supernet(workers, folder, outer, shrinking)
    return stages.search_architecture(workers, folder, row.constraints, search).winner.architecture


def _line(name: str, entry: dict[str, Any]) -> str:
    accuracies = "  ".join(
        f"{norm} {entry[norm]['accuracy']:.2%} +- {entry[norm]['interval']:.2%}"
        for norm in ("transductive", "deployed")
    )
    took = ", ".join(f"{stage} {value} min" for stage, value in entry["minutes"].items())
    paper = f"  (paper {entry['paper']})" if entry["paper"] else ""
    points = " ".join(f"{at}:{accuracy:.1%}" for at, accuracy in entry["curve"])
    return (
        f"{name} {entry['network']} {entry['architecture']}: {accuracies}{paper}\n"
        f"  {entry['params'] / 1e3:.2f}K, {entry['macs'] / 1e6:.2f}M MACs; {took}\n"
        f"  validation, minutes:accuracy {points}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Few-shot accuracy by rows of the paper.")
    parser.add_argument("rows", nargs="+", choices=ROWS)
    parser.add_argument("--folder", type=Path, required=True, help="a run folder a row goes here")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the paper's outer steps")
    parser.add_argument("--accelerator", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--supernet-scale", type=float, help="the super-network's; else the same")
    parser.add_argument("--population", type=int, default=100, help="P of the search")
    parser.add_argument("--rounds", type=int, default=200, help="M of the search")
    parser.add_argument("--validation-tasks", type=int, default=100, help="after every epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-baseline", action="store_true", help="the hand-made network alone")
    parser.add_argument("--json", action="store_true", help="one JSON object a network")
    return parser.parse_args()


if __name__ == "__main__":
    main()
