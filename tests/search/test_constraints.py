import re
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metanas.errors import ConstraintError, ConstraintSyntaxError, MissingRowsError
from metanas.profiling import LatencyTable
from metanas.search import Constraint, Costs
from metanas.spaces import VGG9Space

WAYS = 3  # of the space that all tests here share

COST_NAMES = [
    *("params", "size_bytes", "macs", "memory_bytes"),
    *("latency_ms[wide]", "latency_ms[narrow]", "energy_mj[narrow]"),
]

same_costs = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


# Costs


@pytest.fixture(scope="module")
def tables(tables):
    """Only one of the devices tells its energy."""
    return tables | {"narrow": with_energy(tables["narrow"], lambda row: 2 * row.median_ms + 1)}


@pytest.fixture(scope="module")
def costs(space, tables):
    return Costs(space, tables)


def with_energy(table, energy_mj):
    rows = {key: replace(row, energy_mj=energy_mj(row)) for key, row in table.rows.items()}
    return LatencyTable(table.header, rows)


def test_costs_are_named(costs):
    assert list(costs) == COST_NAMES
    assert len(costs) == len(COST_NAMES)
    assert set(costs) == set(COST_NAMES)


def test_energy_is_summed_as_latency_is(costs, space):
    """A call takes 1 mJ more than twice its latency, and each network pays it once."""
    genes = space.sample(20, np.random.default_rng(0))
    latency_ms, energy_mj = (costs.of(f"{m}[narrow]", genes) for m in ("latency_ms", "energy_mj"))
    assert energy_mj == pytest.approx(2 * latency_ms + 1)


def test_energy_of_some_rows_is_no_cost(space, tables):
    missing = space.all_layers[7].key
    some = with_energy(tables["narrow"], lambda row: None if row.key == missing else 1.0)
    costs = Costs(space, {"narrow": some})
    assert "latency_ms[narrow]" in costs
    with pytest.raises(ConstraintSyntaxError, match="energy one of a device that tells it"):
        costs.parse("energy_mj<=3")


def test_memory_is_parameters_and_the_worst_moments_maps(costs, space):
    genes = space.encode([space.parse("k3c64relu-k1c64elu")])
    parameters = 64 * (9 + 3) + 64 * (64 + 3) + (64 * 1 + 1) * WAYS
    worst = 64 * 12 * 12 + 64 * 6 * 6  # the first max-pooling's input and output
    assert costs.of("memory_bytes", genes).tolist() == [4 * (parameters + worst)]


@pytest.mark.parametrize("name", COST_NAMES)
def test_many_architectures_are_priced_at_once(costs, space, name, monkeypatch):
    """A constant number of array operations, whatever the number of architectures."""
    looked_up = []
    real = space.layer_indices
    monkeypatch.setattr(space, "layer_indices", lambda g: looked_up.append(len(g)) or real(g))
    monkeypatch.setattr(space, "from_genes", None)
    monkeypatch.setattr(space, "layers", None)
    assert len(costs.of(name, space.sample(5000, np.random.default_rng(0)))) == 5000
    assert looked_up in ([5000], [5000, 5000])


SUMS = [name for name in COST_NAMES if name[:6] not in ("memory", "energy")]


@pytest.mark.parametrize("name", SUMS)
def test_a_cost_is_the_sum_over_the_layers_of_an_architecture(costs, space, tables, name):
    genes = space.sample(20, np.random.default_rng(0))
    for row, cost in zip(genes, costs.of(name, genes), strict=True):
        layers = space.layers(space.from_genes(row))
        if name.startswith("latency_ms"):
            table = tables[name[len("latency_ms[") : -1]]
            expected = table.call_ms + sum(table.layer_ms(layer) for layer in layers)
        else:
            expected = sum(getattr(layer, name) for layer in layers)
        assert cost == pytest.approx(expected, rel=1e-12)


def test_latency_is_what_the_table_predicts(costs, space, tables):
    genes = space.sample(100, np.random.default_rng(0))
    for device, table in tables.items():
        predicted = table.latency_ms(space, genes)
        assert costs.of(f"latency_ms[{device}]", genes) == pytest.approx(predicted, rel=1e-12)


def test_a_table_that_lacks_rows_is_refused_where_it_is_asked_for(space, tables):
    table = tables["wide"]
    (lost, *_) = (key for key in table.rows if key.startswith("conv"))
    lacking = LatencyTable(table.header, {k: r for k, r in table.rows.items() if k != lost})
    costs = Costs(space, {"wide": lacking, "narrow": tables["narrow"]})
    assert costs.parse("params<=3") == Constraint("params", 3)
    assert costs.full_name("latency_ms[narrow]") in costs
    assert "latency_ms[wide]" not in costs
    for ask in (
        lambda: costs.parse("latency_ms[wide]<=3"),
        lambda: costs.full_name("energy_mj[wide]"),
    ):
        with pytest.raises(MissingRowsError, match=re.escape(lost)):
            ask()
    other_size = VGG9Space(input_shape=(1, 14, 14), ways=3, global_expansion=False)
    with pytest.raises(MissingRowsError):
        Costs(other_size, {"wide": tables["wide"]}).parse("latency_ms<=3")


# The cheapest


@pytest.mark.parametrize("name", COST_NAMES)
def test_the_cheapest_is_the_cheapest_of_all(costs, all_genes, name):
    everything = costs.of(name, all_genes)
    genes, least = costs.cheapest(name)
    assert least == pytest.approx(everything.min(), rel=1e-12)
    assert costs.of(name, genes)[0] == least


@pytest.mark.parametrize("seed", range(20))
def test_the_cheapest_by_any_cost_is_the_cheapest_of_all(space, all_genes, seed):
    layer_costs = np.random.default_rng(seed).normal(size=len(space.all_layers))
    found = space.encode([space.cheapest(layer_costs)])
    least = space.sum_over_layers(all_genes, layer_costs).min()
    assert space.sum_over_layers(found, layer_costs)[0] == pytest.approx(least)


def least_over_paths(space, layer_costs):
    """By trying every path through the channels, each hop with its cheapest other choices."""
    cost_of = dict(zip(space.all_layers, layer_costs, strict=True))
    hops, heads = {}, {}
    for layer, cost in cost_of.items():
        if layer.op == "conv":
            hop = (layer.height, layer.in_channels, layer.out_channels)
            hops[hop] = min(hops.get(hop, np.inf), cost)
        else:
            heads[layer.height, layer.in_channels] = cost
    sides = [12, 6, 3, 2, 1]
    return min(
        heads[sides[depth], path[-1]]
        + sum(hops[side, *hop] for side, hop in zip(sides, pairwise(path), strict=False))
        for depth in space.depths
        for path in product([1], *[space.channels] * depth)
    )


@pytest.mark.parametrize("adaptive_depth", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_cheapest_where_channels_are_searched(adaptive_depth, seed):
    space = VGG9Space(input_shape=(1, 12, 12), ways=3, adaptive_depth=adaptive_depth)
    layer_costs = np.random.default_rng(seed).normal(size=len(space.all_layers))
    found = space.encode([space.cheapest(layer_costs)])
    least = least_over_paths(space, layer_costs)
    assert space.sum_over_layers(found, layer_costs)[0] == pytest.approx(least)


# Constraints as text


@same_costs
@given(
    name=st.sampled_from(COST_NAMES),
    limit=st.floats(min_value=0, allow_infinity=False),
    gaps=st.lists(st.sampled_from(["", " ", "  "]), min_size=4, max_size=4),
)
def test_a_constraint_prints_and_parses_back(costs, name, limit, gaps):
    metric, _, device = name.rstrip("]").partition("[")
    constraint = Constraint(metric, limit, device or None)
    assert costs.parse(str(constraint)) == constraint
    left, right = str(constraint).split("<=")
    assert costs.parse(f"{gaps[0]}{left}{gaps[1]}<={gaps[2]}{right}{gaps[3]}") == constraint


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("params<=70k", "params<=70000"),
        ("params<=70K", "params<=70000"),
        ("macs <= 1.5M", "macs<=1500000"),
        ("size_bytes<2e5", "size_bytes<=200000"),
        ("memory_bytes<=1.5M", "memory_bytes<=1500000"),
        ("energy_mj[narrow]<=3", "energy_mj[narrow]<=3"),
        ("latency_ms[wide]<=20", "latency_ms[wide]<=20"),
        ("latency_ms[narrow]<=.5", "latency_ms[narrow]<=0.5"),
        ("latency_ms[wide]<=0.1234567", "latency_ms[wide]<=0.1234567"),
    ],
)
def test_units(costs, text, printed):
    assert str(costs.parse(text)) == printed


@pytest.mark.parametrize("name", COST_NAMES)
def test_a_percentage_is_of_the_largest_network(costs, space, name):
    largest = costs.of(name, space.encode([space.largest()]))[0]
    assert costs.parse(f"{name}<=25%").limit == pytest.approx(largest / 4)


def test_the_only_device_need_not_be_named(space, tables):
    alone = Costs(space, {"narrow": tables["narrow"]})
    assert alone.parse("latency_ms<=3") == Constraint("latency_ms", 3, "narrow")


def test_a_cost_is_named_in_full(costs, space, tables):
    alone = Costs(space, {"narrow": tables["narrow"]})
    assert alone.full_name("latency_ms") == "latency_ms[narrow]"
    assert alone.full_name("energy_mj[narrow]") == "energy_mj[narrow]"
    assert costs.full_name("macs") == "macs"
    for unknown in ("latency_ms", "speed", "latency_ms[pi9]", "macs[wide]", ""):
        with pytest.raises(ConstraintSyntaxError, match=re.escape(f"unknown cost {unknown!r}")):
            costs.full_name(unknown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "params",
        "params=3",
        "params>=3",
        "params<=",
        "params<=-3",
        "params<=nan",
        "params<=inf",
        "params<=1e999",
        "params<=1e308k",
        "params<=1.2.3",
        "params<=.",
        "params<=3G",
        "params<=3k%",
        "params<=3; macs<=4",
        "latency_ms[wide<=3",
        "latency_ms[]<=3",
        "params[wide]<=3",
        "speed<=3",
        "latency_ms[pi9]<=3",
        "latency_ms<=3",  # of which of the two devices?
        "energy_mj[wide]<=3",  # it cannot tell
        "memory_bytes[wide]<=3",
    ],
)
def test_text_that_is_no_constraint(costs, text):
    with pytest.raises(ConstraintSyntaxError) as caught:
        costs.parse(text)
    assert repr(text) in str(caught.value)


def test_an_unknown_device_is_told_the_known_ones(costs):
    with pytest.raises(ConstraintSyntaxError, match=r"latency_ms\[wide\], latency_ms\[narrow\]"):
        costs.parse("latency_ms[pi9]<=3")


@pytest.mark.parametrize("ask", ["parse", "full_name"])
def test_a_cost_of_one_of_two_devices_is_told_how_to_be_written(costs, ask):
    with pytest.raises(ConstraintSyntaxError) as caught:
        getattr(costs, ask)("latency_ms<=3" if ask == "parse" else "latency_ms")
    assert caught.value.hint == "write latency_ms[wide] or latency_ms[narrow]"


def test_a_latency_without_a_table_needs_one(space):
    with pytest.raises(ConstraintSyntaxError, match="needs its device's table"):
        Costs(space, {}).parse("latency_ms<=3")


@same_costs
@given(text=st.text(st.sampled_from("params<=latency_ms[wide] 0123.e+-kM%"), max_size=30))
def test_any_text_is_read_or_refused(costs, text):
    try:
        constraint = costs.parse(text)
    except ConstraintSyntaxError:
        return
    assert constraint.cost in costs
    assert 0 <= constraint.limit < np.inf


# Limits kept and broken


@same_costs
@given(
    shares=st.dictionaries(st.sampled_from(COST_NAMES), st.floats(0, 110), max_size=3),
)
def test_satisfied_is_every_limit_kept(costs, space, shares):
    constraints = [costs.parse(f"{name}<={share!r}%") for name, share in shares.items()]
    genes = space.sample(50, np.random.default_rng(0))
    expected = [
        all(costs.of(c.cost, genes[row, None])[0] <= c.limit for c in constraints)
        for row in range(len(genes))
    ]
    assert costs.satisfied(constraints, genes).tolist() == expected


def test_a_limit_is_kept_by_what_costs_just_as_much(costs, space):
    genes = space.sample(1, np.random.default_rng(0))
    params = costs.of("params", genes)[0]
    assert costs.satisfied([Constraint("params", params)], genes).tolist() == [True]
    assert costs.satisfied([Constraint("params", params - 1)], genes).tolist() == [False]


@pytest.mark.parametrize("name", COST_NAMES)
def test_an_impossible_limit_names_the_cheapest_that_exists(costs, space, all_genes, name):
    everything = costs.of(name, all_genes)
    least = everything.min()
    metric, _, device = name.rstrip("]").partition("[")
    costs.check_possible([Constraint(metric, least * (1 + 1e-9), device or None)])
    impossible = Constraint(metric, least * 0.999, device or None)
    with pytest.raises(ConstraintError) as caught:
        costs.check_possible([impossible])
    assert str(impossible) in caught.value.what
    named, cost = re.fullmatch(r"the cheapest, (\S+), costs (\S+)", caught.value.hint).groups()
    assert float(cost) == pytest.approx(least, rel=1e-5)
    assert costs.of(name, space.encode([space.parse(named)]))[0] == pytest.approx(least)
