"""Adaptation in a run folder: the genetic search, its result as a file, and evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from metanas.files import write_json
from metanas.meta import Accuracy, QueryNorm, evaluate
from metanas.parallel import Group, Workers
from metanas.profiling import refuse_batched, refuse_emulated
from metanas.provenance import provenance
from metanas.runs.folder import RunFolder
from metanas.runs.search_plan import costs_by, search_plan
from metanas.runs.training import load_trained, trained_architecture
from metanas.runs.uncertain import MeasureRows, measure_uncertain
from metanas.runs.warm_start import found_architectures
from metanas.search import (
    Candidate,
    Constraint,
    GeneticSearch,
    SearchResult,
    SearchRound,
    SearchSettings,
)


def search(
    workers: Workers,
    folder: RunFolder,
    constraints: Sequence[str],
    settings: SearchSettings,
    *,
    front: Sequence[str] = (),
    warm_start: Sequence[RunFolder] = (),
    allow_emulated: bool = False,
    measure: MeasureRows | None = None,
    observer: Callable[[SearchRound], None] | None = None,
) -> SearchResult:
    """Search the super-network under constraints, or go on; writes `search.json`.

    Args:
        workers: processes that evaluate.
        folder: with a trained super-network, and a table of each device to be constrained.
        constraints: texts such as `latency_ms[pi0]<=20`.
        settings: algorithm 1's numbers.
        front: names of costs whose whole Pareto front with the loss is searched; none for the
            least loss alone.
        warm_start: runs whose searches' results this one begins with.
        allow_emulated: whether a table may come from an emulator.
        measure: if given, the finalists' uncertain estimated rows are measured, and the finalists
            chosen again among all that was evaluated, until nothing uncertain is left of them.
        observer: called with each round.

    Raises:
        ArchitectureError: the warm start is from another space.
        BatchTableError: a table is of several images a call.
        ConstraintSyntaxError: a constraint cannot be read, or there is no such cost.
        ConstraintError: no architecture keeps within them.
        EmulatedTableError: a table comes from an emulator, and that was not asked for.
        MeasurementFailedError: an uncertain row could not be measured.
        MissingRowsError: a table that is asked for a cost lacks layers of the space.
        RunFolderError: a run of the warm start has no ended search.
        SettingsMismatchError: the folder's search was begun with other settings.
        TableMismatchError: the tables are of several dtypes, or one is of another space.
    """
    for path in folder.tables.values():
        refuse_batched(path)
        if not allow_emulated:
            refuse_emulated(path)
    begin_with = found_architectures(warm_start)
    asked = tuple(front), begin_with
    result, parsed = workers.run(
        _search, folder, tuple(constraints), settings, *asked, observer=observer
    )
    while measure and measure_uncertain(folder, _finalists(result), measure):
        limits = tuple(map(str, parsed))  # percentages stay what they were
        result, parsed = workers.run(_search, folder, limits, settings, *asked, observer=observer)
    write_json(
        folder.search,
        {
            "winner": _as_json(result.winner),
            "constraints": [asdict(constraint) for constraint in parsed],
            "front_cost": result.front_costs[0],
            "front_costs": list(result.front_costs),
            "front": [_as_json(candidate) for candidate in result.front],
            "finalists": [_as_json(candidate) for candidate in result.finalists],
            "evaluated": result.evaluated,
            "evaluations": result.evaluations,
            "provenance": provenance(seed=settings.seed),
        },
    )
    return result


def _finalists(result: SearchResult) -> list[str]:
    return [candidate.architecture for candidate in result.finalists]


def _search(
    group: Group,
    folder: RunFolder,
    constraints: Sequence[str],
    settings: SearchSettings,
    front: Sequence[str],
    warm_start: Sequence[str],
    *,
    observer: Callable[[SearchRound], None] | None = None,
) -> tuple[SearchResult, tuple[Constraint, ...]]:
    plan = search_plan(
        folder,
        folder,
        folder.tables,
        constraints,
        settings,
        given=folder.given_tables,
        front=front,
        warm_start=warm_start,
    )
    genetic = GeneticSearch(plan, folder.search_journal)
    return genetic.run(group, observer=observer), plan.constraints


def evaluate_network(
    workers: Workers,
    folder: RunFolder,
    name: str,
    *,
    episodes: int = 600,
    observer: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Accuracy of a trained network over test episodes, and its costs; into `evaluation.json`.

    A network that this was done for already is not evaluated again.

    Raises:
        CheckpointError: no network of that name was trained.
    """
    evaluated = {"checkpoint_sha256": _digest(folder, name), "episodes": episodes}
    known: dict[str, Any] = {}
    if folder.evaluation.exists():
        known = folder.read_json(folder.evaluation, made_by="metanas adapt")
    entry: dict[str, Any] = known.get(name, {})
    if entry.get("evaluated") != evaluated:
        accuracies = workers.run(_evaluate, folder, name, episodes, observer=observer)
        entry = {norm: asdict(accuracy) for norm, accuracy in accuracies.items()}
    architecture = trained_architecture(folder, name)
    entry |= {
        "architecture": architecture,
        "costs": _costs_of(folder, architecture),
        "evaluated": evaluated,
        "provenance": provenance(seed=folder.settings.seed),
    }
    write_json(folder.evaluation, known | {name: entry})
    return entry


def _digest(folder: RunFolder, name: str) -> str:
    load_trained(folder, name)
    return hashlib.sha256(folder.training(name).checkpoint.read_bytes()).hexdigest()


def _costs_of(folder: RunFolder, architecture: str) -> dict[str, float]:
    space = folder.priced_space(folder.settings.load_data())
    costs = costs_by(folder.tables, space)
    genes = space.encode([space.parse(architecture)])
    return {cost: float(costs.of(cost, genes)[0]) for cost in costs}


def _evaluate(
    group: Group,
    folder: RunFolder,
    name: str,
    episodes: int,
    *,
    observer: Callable[[int], None] | None = None,
) -> dict[QueryNorm, Accuracy]:
    data = folder.settings.load_data()
    space = folder.settings.make_space(data)
    network = space.network(space.parse(trained_architecture(folder, name)))
    return evaluate(
        group,
        network,
        load_trained(folder, name).cut(network),
        folder.settings.sampler(data, "test"),
        episodes=episodes,
        observer=observer,
    )


def _as_json(candidate: Candidate) -> dict[str, Any]:
    return {
        "architecture": candidate.architecture,
        "loss": candidate.loss,
        "accuracy": candidate.accuracy,
        "costs": candidate.costs,
    }
