"""`metanas quickstart`: the whole loop, small but real, on this machine."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from metanas.cli import stages
from metanas.cli.progress import profile_device, progress_bar
from metanas.cli.shell import console
from metanas.devices import open_device
from metanas.meta import OuterSettings, check_shares
from metanas.parallel import Workers
from metanas.profiling import read_table
from metanas.report import summary_table, write_report
from metanas.runs import FOUND, RunFolder, RunSettings
from metanas.search import SearchSettings, ShrinkingSettings
from metanas_agent.timer import TimerSettings

DEVICE = "local"
BASELINE = "baseline"
MAML_NETWORK = "-".join(["k3c64relu"] * 4)
"""The hand-made network of MAML, which H-Meta-NAS compares with (table 4)."""

PROFILING = TimerSettings(interval=0.02, budget_ms=12)
PROFILING_ROUNDS = 1
VERIFYING = TimerSettings(budget_ms=400)
SUPERNET = OuterSettings(
    epochs=20,
    iterations=10,
    tasks=4,
    inner_steps=3,
    inner_rate=0.03,
    first_order_share=1.0,
    multi_step_share=0.1,
)
SHRINKING = ShrinkingSettings(start_epoch=1, end_epoch=20, final=0.02, decay=8)
SEARCH = SearchSettings(population=96, rounds=8, tasks=3, crossover_share=0.5)
RETRAINING = OuterSettings(
    epochs=8, iterations=20, tasks=8, inner_steps=3, first_order_share=0.8, multi_step_share=0.1
)
CONSTRAINTS = ("latency_ms<=5%", "params<=70k")
"""A twentieth of the largest network's latency: about what MAML's network takes."""

EPISODES = 600
VERIFIED_EPISODES = 5


def quickstart(path: Path, *, seed: int, workers: int) -> RunFolder:
    """Measure, meta-train, adapt, retrain, export, verify, report.

    Every stage goes on from what the folder holds, so an interrupted run is taken up again.

    Args:
        path: run folder.
        seed: of everything.
        workers: processes that train and search.

    Raises:
        MetanasError: a stage failed; what it had done is kept.
    """
    started = time.monotonic()
    settings = RunSettings(ways=5, shots=1, queries=5, train_queries=3, workers=workers, seed=seed)
    RunFolder.prepare(path, settings)
    for outer in (SUPERNET, RETRAINING):
        check_shares(outer, workers, hint=f"give --workers {outer.tasks}, or fewer")
    _say(1, f"data: {settings.data}, {settings.ways}-way {settings.shots}-shot")
    stages.check_settings(settings)
    folder = RunFolder.create(path, settings)
    space = settings.make_space(settings.load_data())

    _say(2, "profiling this machine through an agent process: every layer of the space")
    table_path = folder.table(DEVICE)
    with closing(open_device(DEVICE)) as device, progress_bar(f"profiling {DEVICE}") as advance:
        profile_device(
            device,
            space,
            replace(PROFILING, seed=seed),
            table_path,
            advance=advance,
            rounds=PROFILING_ROUNDS,
        )
    with Workers(workers) as pool:
        _say(3, "meta-training the super-network (MAML++, progressive shrinking)")
        stages.meta_train_supernet(pool, folder, replace(SUPERNET, seed=seed), SHRINKING)
        _say(4, f"adapting: genetic search under {' and '.join(CONSTRAINTS)}")
        result = stages.search_architecture(pool, folder, CONSTRAINTS, replace(SEARCH, seed=seed))
        console.print(f"   found {result.winner.architecture}", highlight=False)
        _say(5, "retraining the found network and MAML's hand-made one, equally long")
        retraining = replace(RETRAINING, seed=seed)
        for name, architecture in (
            (FOUND, result.winner.architecture),
            (BASELINE, MAML_NETWORK),
        ):
            stages.meta_train_network(pool, folder, name, architecture, retraining)
            stages.evaluate_trained(pool, folder, name, EPISODES)

    _say(6, "exporting to ONNX, running it on the device, comparing")
    with closing(open_device(DEVICE)) as device:
        stages.verify_deployed(
            device,
            folder,
            read_table(table_path),
            VERIFYING,
            name=FOUND,
            episodes=VERIFIED_EPISODES,
        )
    _say(7, "reporting")
    report = write_report(path)
    console.print(summary_table(path))
    console.print(f"{report}  ({time.monotonic() - started:.0f} s)", highlight=False)
    return folder


def _say(stage: int, what: str) -> None:
    console.print(f"[bold]{stage}/7[/bold] {what}", highlight=False)
