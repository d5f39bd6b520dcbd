"""`metanas train`: meta-train the super-network, or one network."""

from __future__ import annotations

from typing import Annotated

import typer

from metanas.cli import options as o
from metanas.cli.shell import console


def train(
    run: o.Run,
    *,
    data: o.Data = "glyphs",
    data_root: o.DataRoot = None,
    image_size: o.ImageSize = "",
    grey: o.Grey = False,
    rotations: o.Rotations = None,
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
    accelerator: o.Accelerator = "cpu",
    seed: o.Seed = 0,
    algorithm: o.Algorithm = "maml++",
    epochs: o.Epochs = 100,
    iterations: o.Iterations = 500,
    tasks: o.Tasks = 8,
    inner_steps: o.InnerSteps = 5,
    rate: o.Rate = 1e-3,
    inner_rate: o.InnerRate = 0.1,
    first_order_share: o.FirstOrderShare = None,
    multi_step_share: o.MultiStepShare = None,
    running_statistics: Annotated[
        bool,
        typer.Option(
            "--running-statistics",
            help="Keep batch-norm's running statistics, and evaluate with them too; one network.",
        ),
    ] = False,
    validation_tasks: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Validation tasks at the end of each epoch; the best epoch counts. 0: none. "
            f"By default {o.VALIDATION_TASKS} for one network and none for the super-network.",
        ),
    ] = None,
    patience: o.Patience = 0,
    architecture: Annotated[
        str, typer.Option(help="Train this one network from scratch instead of the super-network.")
    ] = "",
    name: Annotated[
        str | None,
        typer.Option(help="What to call that network in the run folder; else baseline."),
    ] = None,
    episodes: o.Episodes = 600,
) -> None:
    """Meta-train the super-network (or one network), or go on with it.

    The defaults are the paper's scale: hours of CPU. A run that was stopped goes on from its last
    epoch when the same command is given again.
    """
    from metanas.cli import stages
    from metanas.meta import ALGORITHMS, OuterSettings, ValidationSettings
    from metanas.parallel import Workers
    from metanas.runs import RunFolder, RunSettings, check_network, check_supernet
    from metanas.search import ShrinkingSettings

    if name is not None and not architecture:
        raise typer.BadParameter(
            "it names the network of --architecture, which is not given", param_hint="--name"
        )
    name = "baseline" if name is None else name
    settings = RunSettings(
        data=data,
        data_root=str(data_root.absolute()) if data_root else "",
        image_size=image_size,
        grey=grey,
        rotations=rotations or "",
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
    shares = {"first_order_share": first_order_share, "multi_step_share": multi_step_share}
    given = {option: share for option, share in shares.items() if share is not None}
    switches = dict(ALGORITHMS[algorithm]) | given
    with o.named_as_options():
        outer = OuterSettings(
            epochs=epochs,
            iterations=iterations,
            tasks=tasks,
            inner_steps=inner_steps,
            rate=rate,
            inner_rate=inner_rate,
            seed=seed,
            running_statistics=running_statistics,
            **switches,
        )
    if validation_tasks is None:
        validation_tasks = o.VALIDATION_TASKS if architecture else 0
    validation = ValidationSettings(tasks=validation_tasks, patience=patience)
    processes = Workers(workers, accelerator)
    shrinking = ShrinkingSettings(start_epoch=round(0.3 * epochs), end_epoch=epochs)
    stages.check_settings(settings)
    folder = RunFolder.prepare(run, settings)
    with o.named_as_options():
        if architecture:
            check_network(processes, folder, name, architecture, outer)
        else:
            check_supernet(processes, folder, outer, shrinking)
    folder = RunFolder.create(run, settings)
    with processes:
        if architecture:
            stages.meta_train_network(processes, folder, name, architecture, outer, validation)
            stages.evaluate_trained(processes, folder, name, episodes)
        else:
            stages.meta_train_supernet(processes, folder, outer, shrinking, validation)
    console.print(f"trained: {run}", highlight=False)
