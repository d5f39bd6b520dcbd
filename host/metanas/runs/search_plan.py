"""What a search in a run folder is asked for; it can be checked before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metanas.profiling import read_table
from metanas.runs.folder import RunFolder
from metanas.runs.tables import common_dtype, refuse_other_space
from metanas.runs.training import SUPERNET, context, load_trained
from metanas.runs.warm_start import found_architectures, parse_all
from metanas.search import Constraint, Costs, GeneticSearch, SearchPlan, SearchSettings
from metanas.spaces import SearchSpace


def check_search(
    folder: RunFolder,
    supernet: RunFolder,
    tables: Mapping[str, Path],
    constraints: Sequence[str],
    settings: SearchSettings,
    *,
    front: Sequence[str] = (),
    warm_start: Sequence[RunFolder] = (),
) -> tuple[Constraint, ...]:
    """Refuse a search that would fail, before the folder is made or anything in it changed.

    Args:
        folder: to search in; it need not exist.
        supernet: where the trained super-network is.
        tables: device name to the latency table that the search is to use.
        constraints: as `search` takes them, like all else.
        settings: algorithm 1's numbers.
        front: names of costs.
        warm_start: runs to begin with.

    Returns:
        The constraints as they were read.

    Raises:
        MetanasError: what `search` would raise.
    """
    plan = search_plan(
        folder,
        supernet,
        tables,
        constraints,
        settings,
        front=front,
        warm_start=found_architectures(warm_start),
    )
    GeneticSearch(plan, folder.search_journal).check()
    return plan.constraints


def search_plan(
    folder: RunFolder,
    supernet: RunFolder,
    tables: Mapping[str, Path],
    constraints: Sequence[str],
    settings: SearchSettings,
    *,
    given: Mapping[str, Path] | None = None,
    front: Sequence[str] = (),
    warm_start: Sequence[str] = (),
) -> SearchPlan[Any]:
    """What to search, on what, and how.

    Args:
        folder: of the run.
        supernet: where the trained super-network is.
        tables: device name to the table that prices architectures.
        constraints: their texts.
        settings: algorithm 1's numbers.
        given: the tables by which percentages are read, if these are others.
        front: names of costs.
        warm_start: architectures to begin with.

    Raises:
        ArchitectureError: the warm start is from another space.
        CheckpointError: there is no super-network.
        ConstraintSyntaxError: a constraint cannot be read, or there is no such cost.
        MissingRowsError: a table that is asked for a cost lacks layers of the space.
        TableMismatchError: the tables are of several dtypes, or one is of another space.
    """
    data = folder.settings.load_data()
    space = folder.settings.make_space(data, dtype=common_dtype(tables))
    costs = costs_by(tables, space)
    for table in costs.tables.values():
        refuse_other_space(table, space)
    reading = costs_by(given, space) if given else costs
    return SearchPlan(
        space=space,
        parameters=load_trained(supernet, SUPERNET),
        sampler=folder.settings.sampler(data, "val"),
        costs=costs,
        constraints=tuple(reading.parse(text) for text in constraints),
        settings=settings,
        query_norm=folder.settings.query_norm,
        context=context(folder, data),
        front=tuple(costs.full_name(name) for name in front),
        warm_start=parse_all(space, warm_start),
    )


def costs_by(tables: Mapping[str, Path], space: SearchSpace[Any]) -> Costs:
    """The costs of a space by these tables, device name to file."""
    return Costs(space, {device: read_table(path) for device, path in tables.items()})
