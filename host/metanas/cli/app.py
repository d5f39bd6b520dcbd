"""`metanas`: meta-train, adapt, export, verify, report. Commands import what they need when run."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from metanas import __version__
from metanas.cli import options as o
from metanas.cli.shell import console, print_json, run_app, say

_VERIFY_BUDGET_MS = 400

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Adapt one meta-trained super-network to any few-shot task on any measured board.",
    epilog="Start with: metanas quickstart. Boards are measured by: metanas-profile --help.",
)


def _version(asked: bool) -> None:
    if asked:
        print_json({"metanas": __version__})
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Adapt one meta-trained super-network to any few-shot task on any measured board."""


@app.command()
def quickstart(
    *,
    run: Annotated[
        Path, typer.Option(help="Run folder; an interrupted run in it is gone on with.")
    ] = Path("runs/quickstart"),
    workers: o.Workers = o.DEFAULT_WORKERS,
    seed: o.Seed = 0,
    json: o.Json = False,
) -> None:
    """Do the whole loop on this machine, small but real, in a few minutes.

    Profiles this machine, meta-trains a super-network on the embedded glyphs, adapts it under
    constraints, retrains, exports to ONNX, verifies on this machine and writes a report.
    """
    from metanas.cli.quickstart import quickstart as whole_loop

    folder = whole_loop(run, seed=seed, workers=workers)
    if json:
        print_json(
            {
                "run": str(folder.path),
                "search": folder.read_json(folder.search, made_by="metanas quickstart"),
                "evaluation": folder.read_json(folder.evaluation, made_by="metanas quickstart"),
                "verification": folder.read_json(folder.verification, made_by="metanas quickstart"),
            }
        )


@app.command()
def train(
    run: o.Run,
    *,
    data: o.Data = "glyphs",
    data_root: o.DataRoot = None,
    image_size: o.ImageSize = "",
    grey: o.Grey = False,
    rotations: o.Rotations = "",
    ways: o.Ways = 5,
    shots: o.Shots = 1,
    queries: o.Queries = 15,
    train_queries: o.TrainQueries = 5,
    space: o.Space = "vgg9",
    downsampling: o.Downsampling = "pooled",
    pool: o.Pool = 5,
    global_expansion: o.GlobalExpansion = True,
    adaptive_depth: o.AdaptiveDepth = True,
    query_norm: o.QueryNorm = "transductive",
    workers: o.Workers = o.DEFAULT_WORKERS,
    seed: o.Seed = 0,
    epochs: o.Epochs = 100,
    iterations: o.Iterations = 500,
    tasks: o.Tasks = 8,
    inner_steps: o.InnerSteps = 5,
    rate: o.Rate = 1e-3,
    inner_rate: o.InnerRate = 0.1,
    architecture: Annotated[
        str, typer.Option(help="Train this one network from scratch instead of the super-network.")
    ] = "",
    name: Annotated[
        str, typer.Option(help="What to call that network in the run folder.")
    ] = "baseline",
    episodes: o.Episodes = 600,
) -> None:
    """Meta-train the super-network (or one network) by MAML++, or go on with it.

    The defaults are the paper's scale: hours of CPU. A run that was stopped goes on from its last
    epoch when the same command is given again.
    """
    from metanas.cli import stages
    from metanas.meta import OuterSettings
    from metanas.parallel import Workers
    from metanas.runs import RunFolder, RunSettings
    from metanas.search import ShrinkingSettings

    settings = RunSettings(
        data=data,
        data_root=str(data_root.absolute()) if data_root else "",
        image_size=image_size,
        grey=grey,
        rotations=rotations,
        ways=ways,
        shots=shots,
        queries=queries,
        train_queries=train_queries,
        space=space,
        downsampling=downsampling,
        pool=pool,
        global_expansion=global_expansion,
        adaptive_depth=adaptive_depth,
        query_norm=query_norm,
        workers=workers,
        seed=seed,
    )
    stages.check_settings(settings)
    if architecture:
        settings.make_space(settings.load_data()).parse(architecture)
    folder = RunFolder.create(run, settings)
    outer = OuterSettings(
        epochs=epochs,
        iterations=iterations,
        tasks=tasks,
        inner_steps=inner_steps,
        rate=rate,
        inner_rate=inner_rate,
        seed=seed,
    )
    with Workers(workers) as pool_of_workers:
        if architecture:
            stages.meta_train_network(pool_of_workers, folder, name, architecture, outer)
            stages.evaluate_trained(pool_of_workers, folder, name, episodes)
        else:
            shrinking = ShrinkingSettings(start_epoch=round(0.3 * epochs), end_epoch=epochs)
            stages.meta_train_supernet(pool_of_workers, folder, outer, shrinking)
    console.print(f"trained: {run}", highlight=False)


@app.command()
def adapt(
    run: o.Run,
    *,
    table: Annotated[
        list[str],
        typer.Option(help="Latency table, path or name from metanas-profile list; repeatable."),
    ],
    constraint: Annotated[
        list[str],
        typer.Option(
            help="Upper limit such as 'latency_ms[pi0]<=20', 'latency_ms<=50%' (of the largest "
            "network's), 'memory_bytes<=2M' or 'params<=70k'; repeatable."
        ),
    ],
    supernet: Annotated[
        Path | None,
        typer.Option(help="Run folder whose super-network to adapt; by default RUN's own."),
    ] = None,
    allow_emulated: Annotated[
        bool,
        typer.Option("--allow-emulated", help="Accept tables that were timed under an emulator."),
    ] = False,
    measure_uncertain: Annotated[
        bool,
        typer.Option(
            "--measure-uncertain",
            help="Of estimated tables: measure the uncertain rows that the found architectures "
            "use, on their device, before answering.",
        ),
    ] = False,
    population: Annotated[int, typer.Option(min=2, help="P of algorithm 1.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="M of algorithm 1.")] = 200,
    search_tasks: Annotated[int, typer.Option(min=1, help="Validation tasks of a round.")] = 16,
    epochs: o.Epochs = 100,
    iterations: o.Iterations = 500,
    tasks: o.Tasks = 8,
    episodes: o.Episodes = 600,
    json: o.Json = False,
) -> None:
    """Search the super-network under constraints, retrain the winner, evaluate it.

    One run folder holds one adaptation; with --supernet, a super-network serves many.
    """
    from dataclasses import replace

    from metanas.cli import stages
    from metanas.meta import load_checkpoint
    from metanas.parallel import Workers
    from metanas.profiling import find_table
    from metanas.runs import FOUND, SUPERNET, RunFolder, outer_settings
    from metanas.search import SearchSettings

    if supernet:
        source = RunFolder.open(supernet)
        folder = RunFolder.create(run, source.settings)
        folder.take_over(source, SUPERNET)
    else:
        folder = RunFolder.open(run)
    trained = load_checkpoint(folder.training(SUPERNET).checkpoint)
    for text in table:
        folder.keep_table(find_table(text), allow_emulated=allow_emulated)
    search = SearchSettings(
        population=population, rounds=rounds, tasks=search_tasks, seed=folder.settings.seed
    )
    outer = replace(
        outer_settings(trained.settings), epochs=epochs, iterations=iterations, tasks=tasks
    )
    with Workers(folder.settings.workers) as workers:
        result = stages.search_architecture(
            workers,
            folder,
            constraint,
            search,
            allow_emulated=allow_emulated,
            measure_uncertain=measure_uncertain,
        )
        stages.meta_train_network(workers, folder, FOUND, result.winner.architecture, outer)
        entry = stages.evaluate_trained(workers, folder, FOUND, episodes)
    if json:
        print_json(entry)
    else:
        console.print(f"found {result.winner.architecture}: {run}", highlight=False)


@app.command()
def export(
    run: o.Run,
    *,
    name: o.Trained = "found",
    json: o.Json = False,
) -> None:
    """Adapt the trained network to a test task and write it as model.onnx."""
    from metanas.runs import RunFolder
    from metanas.runs import export as export_stage

    folder = RunFolder.open(run)
    (network,) = export_stage(folder, name, tasks=1)
    if json:
        print_json({"model": str(folder.model), "bytes": len(network.model)})
    else:
        console.print(f"{folder.model}: {len(network.model)} bytes", highlight=False)


@app.command()
def verify(
    run: o.Run,
    *,
    device: Annotated[str, typer.Option(help="Device to run the exported network on.")],
    name: o.Trained = "found",
    tasks: Annotated[int, typer.Option(min=1, help="Test tasks to adapt to and compare.")] = 5,
    json: o.Json = False,
) -> None:
    """Run the exported network on the device: outputs, accuracy, predicted and measured latency.

    Fails (exit code 1) when the device computes something else than the host.
    """
    from metanas.cli import stages
    from metanas.devices import open_device
    from metanas.profiling import read_table
    from metanas.runs import RunFolder
    from metanas_agent.timer import TimerSettings

    folder = RunFolder.open(run)
    table = read_table(folder.known_table(device))
    timer = TimerSettings(budget_ms=_VERIFY_BUDGET_MS)
    with closing(open_device(device, on_wait=say)) as opened:
        result = stages.verify_deployed(opened, folder, table, timer, name=name, tasks=tasks)
    if json:
        print_json(result.to_dict())
    else:
        agreement = result.agreement
        console.print(
            f"outputs {'pass' if result.passed else 'FAIL'}: largest difference "
            f"{agreement.largest_share:.1e} of the logits' range, "
            f"top-1 {agreement.top1:.2%} of {agreement.images} images",
            f"latency {result.latency_verdict}: predicted {result.predicted.latency_ms:.4g} ms, "
            f"measured {result.measured.median_ms:.4g} ms, ratio {result.ratio:.2f}"
            + (f", device now / then {result.slowdown:.2f}" if result.slowdown else ""),
            *result.reasons,
            sep="\n",
            highlight=False,
        )
    if not result.passed:
        raise typer.Exit(1)


@app.command()
def report(run: o.Run) -> None:
    """Write the run's one-page report and print its summary."""
    from metanas.report import summary_table, write_report

    path = write_report(run)
    console.print(summary_table(run))
    console.print(str(path), highlight=False)


def main() -> NoReturn:
    """Run the command."""
    run_app(app)
