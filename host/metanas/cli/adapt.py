"""`metanas adapt`: search the super-network under constraints, retrain the winner, evaluate it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metanas.cli import options as o
from metanas.cli.shell import console, print_json, say


def adapt(
    run: o.Run,
    *,
    constraint: Annotated[
        list[str],
        typer.Option(
            help="Upper limit such as 'latency_ms[pi0]<=20', 'latency_ms<=50%' (of the largest "
            "network's), 'memory_bytes<=2M' or 'params<=70k'; repeatable."
        ),
    ],
    table: Annotated[
        list[str] | None,
        typer.Option(
            help="Latency table, path or name from metanas-profile list; repeatable. Needed where "
            "a latency or an energy is limited."
        ),
    ] = None,
    front: Annotated[
        list[str] | None,
        typer.Option(
            help="Search for the whole Pareto front of the loss and this cost, such as "
            "'latency_ms[pi0]' or 'params', by NSGA-II; repeatable."
        ),
    ] = None,
    warm_start: Annotated[
        list[Path] | None,
        typer.Option(help="Run folder whose search's result to begin with; repeatable."),
    ] = None,
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
    closed_loop: Annotated[
        bool,
        typer.Option(
            "--closed-loop",
            help="Time the winner on its devices before it is trained; where the latency is off, "
            "calibrate the table there and choose again, at most three times.",
        ),
    ] = False,
    latency_tolerance: Annotated[
        float, typer.Option(min=0, max=100, help="Share that it may be off with --closed-loop.")
    ] = 0.1,
    population: Annotated[int, typer.Option(min=2, help="P of algorithm 1.")] = 100,
    rounds: Annotated[int, typer.Option(min=1, help="M of algorithm 1.")] = 200,
    search_tasks: Annotated[int, typer.Option(min=1, help="Validation tasks of a round.")] = 16,
    first_tasks: Annotated[
        int,
        typer.Option(
            min=1,
            help="Tasks that all new architectures see; only the best quarter sees four times as "
            "many, and so on. As many as --search-tasks: all see all.",
        ),
    ] = 2,
    search_queries: Annotated[
        int, typer.Option(min=1, help="Query images of a class in the search's rounds.")
    ] = 5,
    accelerator: o.Accelerator = "cpu",
    epochs: o.Epochs = 100,
    iterations: o.Iterations = 500,
    tasks: o.Tasks = 8,
    validation_tasks: Annotated[
        int,
        typer.Option(
            min=0,
            help="Validation tasks at the end of each epoch of retraining; the best epoch counts. "
            "0: none.",
        ),
    ] = o.VALIDATION_TASKS,
    patience: o.Patience = 0,
    episodes: o.Episodes = 600,
    json: o.Json = False,
) -> None:
    """Search the super-network under constraints, retrain the winner, evaluate it.

    One run folder holds one adaptation; with --supernet, a super-network serves many.
    """
    from dataclasses import replace

    from metanas.cli import stages
    from metanas.meta import ValidationSettings, check_shares, load_checkpoint
    from metanas.parallel import Workers
    from metanas.profiling import find_table
    from metanas.runs import (
        FOUND,
        SUPERNET,
        RunFolder,
        check_search,
        measurable_limits,
        outer_settings,
        tables_by_device,
    )
    from metanas.search import SearchResult, SearchSettings

    earlier = [RunFolder.open(path) for path in warm_start or ()]
    source = RunFolder.open(supernet or run)
    trained = load_checkpoint(source.training(SUPERNET).checkpoint)
    tables = tables_by_device(map(find_table, table or ()), allow_emulated=allow_emulated)
    search = SearchSettings(
        population=population,
        rounds=rounds,
        tasks=search_tasks,
        first_tasks=first_tasks,
        queries=search_queries,
        seed=source.settings.seed,
    )
    outer = replace(
        outer_settings(trained.settings), epochs=epochs, iterations=iterations, tasks=tasks
    )
    validation = ValidationSettings(tasks=validation_tasks, patience=patience)
    processes = Workers(source.settings.workers, accelerator)
    check_shares(outer, processes.group.size)
    limits = check_search(
        RunFolder.prepare(run, source.settings),
        source,
        tables,
        constraint,
        search,
        front=front or (),
        warm_start=earlier,
    )
    if closed_loop:
        measurable_limits(limits, tables)
    folder = source
    if supernet:
        folder = RunFolder.create(run, source.settings)
        folder.take_over(source, SUPERNET)
    for path in folder.keep_tables(tables, allow_emulated=allow_emulated):
        say(f"a table that this command does not use lies in {path} now")
    with processes as workers:

        def find() -> SearchResult:
            return stages.search_architecture(
                workers,
                folder,
                constraint,
                search,
                front=front or (),
                warm_start=earlier,
                allow_emulated=allow_emulated,
                measure_uncertain=measure_uncertain,
            )

        found = (
            stages.closed_loop(folder, find, latency_tolerance) if closed_loop else find().winner
        )
        winner = found.architecture
        stages.meta_train_network(workers, folder, FOUND, winner, outer, validation)
        entry = stages.evaluate_trained(workers, folder, FOUND, episodes)
    if json:
        print_json(entry)
    else:
        console.print(f"found {winner}: {run}", highlight=False)
