"""Searches under limits that leave little, or nothing."""

from dataclasses import replace

import numpy as np
import pytest

from metanas.errors import ConstraintError
from metanas.meta import initialise
from metanas.parallel import Group
from metanas.search import Constraint, Costs, GeneticSearch
from metanas.spaces import VGG9Space

ALONE = Group()
WAYS = 3
LATENCIES = ("latency_ms[a]", "latency_ms[b]")

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_impossible_limit_is_refused_before_anything_is_written(make_plan, journal):
    with pytest.raises(ConstraintError, match="the cheapest"):
        GeneticSearch(make_plan("params<=10"), journal).run(ALONE)
    assert not journal.exists()


@pytest.mark.parametrize("kept", [1, 30])
def test_a_limit_that_few_architectures_keep(make_plan, journal, costs, all_genes, kept, lines_of):
    limit = float(np.sort(costs.of("latency_ms[wide]", all_genes))[kept - 1])
    plan = make_plan(f"latency_ms[wide]<={limit!r}")
    keep = costs.satisfied(plan.constraints, all_genes).sum()
    result = GeneticSearch(plan, journal).run(ALONE)
    assert min(keep, 6) <= result.evaluated <= keep
    for line in lines_of()[1]:
        assert len(set(line["architectures"])) == len(line["architectures"])


def test_a_limit_that_no_random_architecture_keeps(make_plan, journal, lines_of):
    """The population then descends from the cheapest: 6 to the power of 4 of 252 million."""
    space = VGG9Space(input_shape=(1, 12, 12), ways=WAYS, adaptive_depth=False)
    costs = Costs(space, {})
    least = int(costs.cheapest("params")[1])
    rng = np.random.default_rng(0)
    limits = (costs.parse(f"params<={least}"), costs.parse(f"size_bytes<={4 * least}"))
    assert not costs.satisfied(limits, space.sample(100_000, rng)).any()
    networks = [space.network(corner) for corner in space.corners()]
    plan = replace(
        make_plan(rounds=1),
        space=space,
        costs=costs,
        constraints=limits,
        parameters=initialise(networks, steps=1, rate=0.1, seed=0).detached(),
    )
    GeneticSearch(plan, journal).run(ALONE)
    (line,) = lines_of()[1]
    assert len(set(line["architectures"])) == 6
    assert line["costs"]["params"] == [least] * 6


def test_the_cheapest_of_two_devices_are_taken_once(
    make_plan, journal, lines_of, tables, reckon, monkeypatch
):
    """Each is two choices from the other, so that mutants of the one are the other."""
    space = VGG9Space(
        input_shape=(1, 12, 12), ways=WAYS, global_expansion=False, adaptive_depth=False
    )

    def favouring(activation):
        def change(layer, ms):
            likes = layer.op == "conv" and layer.height > 3 and layer.activation == activation
            return ms * (0.99 if likes else 1)

        return reckon(tables["wide"], change)

    costs = Costs(space, {"a": favouring("elu"), "b": favouring("selu")})
    parents = [str(space.from_genes(costs.cheapest(name)[0][0])) for name in LATENCIES]
    assert parents == [
        "k1c64elu-k1c64elu-k1c64relu-k1c64relu",
        "k1c64selu-k1c64selu-k1c64relu-k1c64relu",
    ]
    limits = [costs.parse(f"{name}<={1.02 * costs.cheapest(name)[1]!r}") for name in LATENCIES]
    plan = make_plan(population=400, rounds=1, tasks=1, elite_share=0.01)
    plan = replace(plan, space=space, costs=costs, constraints=tuple(limits))
    largest = space.encode([space.largest()])
    monkeypatch.setattr(space, "sample", lambda count, rng: largest)  # an unlucky first population
    GeneticSearch(plan, journal).run(ALONE)
    (line,) = lines_of()[1]
    assert set(parents) < set(line["architectures"])
    assert len(set(line["architectures"])) == len(line["architectures"]) > 200


def test_limits_that_exclude_each_other(make_plan, journal, costs):
    """Few parameters ask for one thing, few cycles of the narrow array for another."""
    least = {name: costs.cheapest(name)[1] * 1.000001 for name in ("params", "macs")}
    assert not costs.satisfied(
        [Constraint(name, limit) for name, limit in least.items()], costs.cheapest("macs")[0]
    ).any()
    tight = [f"{name}<={limit!r}" for name, limit in least.items()]
    with pytest.raises(ConstraintError, match="together") as caught:
        GeneticSearch(make_plan(*tight), journal).run(ALONE)
    assert "params is at least" in caught.value.hint
    assert "macs is at least" in caught.value.hint
