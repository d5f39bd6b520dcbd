"""Adaptation in a run folder: the genetic search, its result as a file, and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from metanas.files import write_json
from metanas.meta import Accuracy, QueryNorm, evaluate
from metanas.parallel import Group, Workers
from metanas.profiling import read_table
from metanas.provenance import provenance
from metanas.runs.folder import RunFolder
from metanas.runs.training import SUPERNET, context, load_trained, trained_architecture
from metanas.search import (
    LATENCY,
    Candidate,
    Constraint,
    Costs,
    GeneticSearch,
    SearchPlan,
    SearchResult,
    SearchSettings,
)
from metanas.spaces import SearchSpace


def search(
    workers: Workers,
    folder: RunFolder,
    constraints: Sequence[str],
    settings: SearchSettings,
    *,
    observer: Callable[[dict[str, Any]], None] | None = None,
) -> SearchResult:
    """Search the super-network under constraints, or go on; writes `search.json`.

    Args:
        workers: processes that evaluate.
        folder: with a trained super-network, and a table of each device to be constrained.
        constraints: texts such as `latency_ms[pi0]<=20`.
        settings: algorithm 1's numbers.
        observer: called with each round's journal line.

    Raises:
        ConstraintSyntaxError: a constraint cannot be read.
        ConstraintError: no architecture keeps within them.
        MissingRowsError: a table lacks layers of the space.
        SettingsMismatchError: the folder's search was begun with other settings.
    """
    result, parsed = workers.run(_search, folder, tuple(constraints), settings, observer=observer)
    # The front is drawn against what was constrained, a latency before anything else.
    limited = sorted((c.cost for c in parsed), key=lambda name: not name.startswith(LATENCY))
    cost = (limited or ["macs"])[0]
    write_json(
        folder.search,
        {
            "winner": _as_json(result.winner),
            "constraints": [asdict(constraint) for constraint in parsed],
            "front_cost": cost,
            "front": [_as_json(candidate) for candidate in result.front(cost)],
            "finalists": [_as_json(candidate) for candidate in result.finalists],
            "evaluated": len(result.evaluated),
            "provenance": provenance(seed=settings.seed),
        },
    )
    return result


def _search(
    group: Group,
    folder: RunFolder,
    constraints: Sequence[str],
    settings: SearchSettings,
    *,
    observer: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[SearchResult, tuple[Constraint, ...]]:
    data = folder.settings.load_data()
    space = folder.settings.make_space(data)
    costs = _costs(folder, space)
    parsed = tuple(costs.parse(text) for text in constraints)
    plan = SearchPlan(
        space=space,
        parameters=load_trained(folder, SUPERNET),
        sampler=folder.settings.sampler(data, "val"),
        costs=costs,
        constraints=parsed,
        settings=settings,
        query_norm=folder.settings.query_norm,
        context=context(folder, data),
    )
    genetic = GeneticSearch(plan, folder.search_journal)
    return genetic.run(group, observer=observer), parsed


def evaluate_network(
    workers: Workers,
    folder: RunFolder,
    name: str,
    *,
    episodes: int = 600,
    observer: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Accuracy of a trained network over test episodes, and its costs; into `evaluation.json`.

    Raises:
        CheckpointError: no network of that name was trained.
    """
    accuracies, costs, architecture = workers.run(
        _evaluate, folder, name, episodes, observer=observer
    )
    entry: dict[str, Any] = {
        "architecture": architecture,
        "costs": costs,
        **{norm: asdict(accuracy) for norm, accuracy in accuracies.items()},
        "provenance": provenance(seed=folder.settings.seed),
    }
    known: dict[str, Any] = {}
    if folder.evaluation.exists():
        known = folder.read_json(folder.evaluation, made_by="metanas adapt")
    write_json(folder.evaluation, known | {name: entry})
    return entry


def _evaluate(
    group: Group,
    folder: RunFolder,
    name: str,
    episodes: int,
    *,
    observer: Callable[[int], None] | None = None,
) -> tuple[dict[QueryNorm, Accuracy], dict[str, float], str]:
    data = folder.settings.load_data()
    space = folder.settings.make_space(data)
    architecture = trained_architecture(folder, name)
    network = space.network(space.parse(architecture))
    accuracies = evaluate(
        group,
        network,
        load_trained(folder, name).cut(network),
        folder.settings.sampler(data, "test"),
        episodes=episodes,
        observer=observer,
    )
    costs = _costs(folder, space)
    genes = space.encode([space.parse(architecture)])
    return accuracies, {cost: float(costs.of(cost, genes)[0]) for cost in costs}, architecture


def _costs(folder: RunFolder, space: SearchSpace[Any]) -> Costs:
    return Costs(space, {device: read_table(path) for device, path in folder.tables.items()})


def _as_json(candidate: Candidate) -> dict[str, Any]:
    return {
        "architecture": candidate.architecture,
        "loss": candidate.loss,
        "accuracy": candidate.accuracy,
        "costs": candidate.costs,
    }
