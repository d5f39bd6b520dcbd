import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas.errors import CheckpointError, ConstraintError, SettingsMismatchError
from metanas.meta import evaluate_loss, initialise
from metanas.parallel import Group
from metanas.search import Candidate, Constraint, Costs, GeneticSearch, SearchResult, genetic
from metanas.spaces import VGG9Space

ALONE = Group()
WAYS = 3
LATENCIES = ("latency_ms[a]", "latency_ms[b]")
LIMITS = ("latency_ms[wide]<=30%", "params<=6%")

pytestmark = pytest.mark.usefixtures("one_thread")


class Stopped(Exception):
    """Somebody pressed a key."""


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "search.jsonl"


@pytest.fixture
def evaluated(monkeypatch):
    """Texts of the networks that were evaluated, in order; the evaluation is the real one."""
    texts = []

    def record(network, parameters, episodes, **how):
        layers = network.convs.values()
        texts.append("-".join(f"k{c.kernel}c{c.out_channels}{c.activation}" for c in layers))
        return evaluate_loss(network, parameters, episodes, **how)

    monkeypatch.setattr(genetic, "evaluate_loss", record)
    return texts


def lines_of(journal):
    header, *rounds = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in rounds:
        assert line.pop("seconds") >= 0
    return header, rounds


def stop_after(rounds):
    def observe(line):
        if line["round"] + 1 == rounds:
            raise Stopped

    return observe


# What is evaluated


def test_only_architectures_within_the_limits_are_evaluated(make_plan, journal, evaluated):
    plan = make_plan(*LIMITS)
    GeneticSearch(plan, journal).run(ALONE)
    genes = plan.space.encode([plan.space.parse(text) for text in set(evaluated)])
    for constraint in plan.constraints:
        assert (plan.costs.of(constraint.cost, genes) <= constraint.limit).all()
    # The limits matter: most of the space breaks them.
    anything = plan.space.sample(1000, np.random.default_rng(0))
    assert plan.costs.satisfied(plan.constraints, anything).mean() < 0.5


def test_every_evaluation_is_paid_once(make_plan, journal, evaluated):
    plan = make_plan(*LIMITS)
    GeneticSearch(plan, journal).run(ALONE)
    assert len(evaluated) == 3 * 6 + 3  # rounds of the population, then the finalists
    rounds = lines_of(journal)[1]
    assert evaluated[:18] == [text for line in rounds for text in line["architectures"]]


def test_the_elite_lives_on_and_all_others_are_new(make_plan, journal):
    plan = make_plan(*LIMITS, rounds=4)
    assert plan.settings.elite == 2
    GeneticSearch(plan, journal).run(ALONE)
    outcomes = {}
    seen = set()
    previous = None
    for line in lines_of(journal)[1]:
        texts = line["architectures"]
        assert len(set(texts)) == 6
        if previous:
            means = {text: np.mean(outcomes[text]) for text in previous}
            assert texts[:2] == sorted(previous, key=means.get)[:2]
            assert not seen & set(texts[2:])
        for text, loss in zip(texts, line["losses"], strict=True):
            outcomes.setdefault(text, []).append(loss)
        seen |= set(texts)
        previous = texts


def test_the_journal_holds_every_cost(make_plan, journal):
    plan = make_plan(*LIMITS)
    GeneticSearch(plan, journal).run(ALONE)
    header, rounds = lines_of(journal)
    assert header["settings"]["constraints"] == [str(c) for c in plan.constraints]
    for line in rounds:
        genes = plan.space.encode([plan.space.parse(t) for t in line["architectures"]])
        assert line["costs"].keys() == set(plan.costs)
        for name, values in line["costs"].items():
            assert values == pytest.approx(plan.costs.of(name, genes), abs=1e-6)


def test_losses_are_those_of_the_round_s_tasks(make_plan, journal):
    plan = make_plan(*LIMITS, rounds=2)
    GeneticSearch(plan, journal).run(ALONE)
    line = lines_of(journal)[1][1]
    network = plan.space.network(plan.space.parse(line["architectures"][3]))
    loss, accuracy = evaluate_loss(
        network, plan.parameters.cut(network), plan.sampler.batch(1, 2), query_norm="transductive"
    )
    assert line["losses"][3] == pytest.approx(loss, abs=1e-6)
    assert line["accuracies"][3] == pytest.approx(accuracy, abs=1e-6)


def test_the_result(make_plan, journal):
    plan = make_plan(*LIMITS)
    result = GeneticSearch(plan, journal).run(ALONE)
    texts = {text for line in lines_of(journal)[1] for text in line["architectures"]}
    assert {candidate.architecture for candidate in result.evaluated} == texts
    losses = [finalist.loss for finalist in result.finalists]
    assert losses == sorted(losses)
    assert result.winner == result.finalists[0]
    assert len(result.finalists) == 3
    for candidate in result.evaluated:
        genes = plan.space.encode([plan.space.parse(candidate.architecture)])
        assert candidate.costs == {name: plan.costs.of(name, genes)[0] for name in plan.costs}


def test_a_search_prefers_networks_that_do_better(make_plan, journal, monkeypatch):
    """With a loss that counts what is not as it should be, populations must become better."""

    def known_loss(network, parameters, episodes, **how):
        odd = sum(conv.kernel != 3 or conv.activation != "elu" for conv in network.convs.values())
        return odd + 4 - len(network.convs) + 0.01, 0.5

    monkeypatch.setattr(genetic, "evaluate_loss", known_loss)
    plan = make_plan(population=30, rounds=20, elite_share=0.2)
    result = GeneticSearch(plan, journal).run(ALONE)
    means = [np.mean(line["losses"]) for line in lines_of(journal)[1]]
    assert means[-1] < means[0] - 1
    assert result.winner.loss < min(lines_of(journal)[1][0]["losses"])


def test_a_network_that_diverges_is_last_and_not_fatal(make_plan, journal, monkeypatch):
    def sometimes_nan(network, parameters, episodes, **how):
        diverges = network.convs["conv0"].kernel == 5
        return (float("nan") if diverges else 1.0), 0.2

    monkeypatch.setattr(genetic, "evaluate_loss", sometimes_nan)
    result = GeneticSearch(make_plan(population=12), journal).run(ALONE)
    assert not result.winner.architecture.startswith("k5")
    assert any(candidate.architecture.startswith("k5") for candidate in result.evaluated)


# Limits that leave little


def test_an_impossible_limit_is_refused_before_anything_is_written(make_plan, journal):
    with pytest.raises(ConstraintError, match="the cheapest"):
        GeneticSearch(make_plan("params<=10"), journal).run(ALONE)
    assert not journal.exists()


@pytest.mark.parametrize("kept", [1, 30])
def test_a_limit_that_few_architectures_keep(make_plan, journal, costs, all_genes, kept):
    limit = float(np.sort(costs.of("latency_ms[wide]", all_genes))[kept - 1])
    plan = make_plan(f"latency_ms[wide]<={limit!r}")
    keep = costs.satisfied(plan.constraints, all_genes).sum()
    result = GeneticSearch(plan, journal).run(ALONE)
    assert min(keep, 6) <= len(result.evaluated) <= keep
    for line in lines_of(journal)[1]:
        assert len(set(line["architectures"])) == len(line["architectures"])


def test_a_limit_that_no_random_architecture_keeps(make_plan, journal):
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
    (line,) = lines_of(journal)[1]
    assert len(set(line["architectures"])) == 6
    assert line["costs"]["params"] == [least] * 6


def test_the_cheapest_of_two_devices_are_taken_once(
    make_plan, journal, tables, reckon, monkeypatch
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
    plan = make_plan(population=400, rounds=1, tasks=1)
    plan = replace(plan, space=space, costs=costs, constraints=tuple(limits))
    largest = space.encode([space.largest()])
    monkeypatch.setattr(space, "sample", lambda count, rng: largest)  # an unlucky first population
    GeneticSearch(plan, journal).run(ALONE)
    (line,) = lines_of(journal)[1]
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


def test_a_population_of_elites_alone_ends(make_plan, journal, evaluated):
    plan = make_plan(population=2, elite_share=1.0, rounds=2, finalists=1)
    result = GeneticSearch(plan, journal).run(ALONE)
    assert len(evaluated) == 2 * 2 + 1
    assert len(result.evaluated) == 2


# Killed, and gone on with


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_an_interrupted_search_ends_as_if_it_had_not_been(
    make_plan, journal, tmp_path, evaluated, stopped_after
):
    plan = make_plan(*LIMITS)
    whole = GeneticSearch(plan, tmp_path / "whole.jsonl").run(ALONE)
    with pytest.raises(Stopped):
        GeneticSearch(plan, journal).run(ALONE, observer=stop_after(stopped_after))
    evaluated.clear()
    seen = []
    resumed = GeneticSearch(plan, journal).run(ALONE, observer=seen.append)
    assert resumed == whole
    assert lines_of(journal) == lines_of(tmp_path / "whole.jsonl")
    assert [line["round"] for line in seen] == list(range(stopped_after, 3))
    assert len(evaluated) == (3 - stopped_after) * 6 + 3


def test_a_torn_last_line_costs_one_round(make_plan, journal, tmp_path):
    plan = make_plan(*LIMITS)
    whole = GeneticSearch(plan, tmp_path / "whole.jsonl").run(ALONE)
    lines = (tmp_path / "whole.jsonl").read_bytes()
    journal.write_bytes(lines[:-40])
    assert GeneticSearch(plan, journal).run(ALONE) == whole
    assert lines_of(journal) == lines_of(tmp_path / "whole.jsonl")


def test_a_torn_header_is_begun_anew(make_plan, journal):
    plan = make_plan(*LIMITS)
    journal.write_text('{"settings": {"popu')
    GeneticSearch(plan, journal).run(ALONE)
    assert len(lines_of(journal)[1]) == 3


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"population": 8}, "population was 6, not 8"),
        ({"seed": 1}, "seed was 0, not 1"),
        ({"context": {"data": "others"}}, "data was None, not 'others'"),
    ],
)
def test_other_settings_are_refused(make_plan, journal, changed, named):
    GeneticSearch(make_plan(*LIMITS, rounds=1), journal).run(ALONE)
    kept = journal.read_bytes()
    with pytest.raises(SettingsMismatchError) as caught:
        GeneticSearch(make_plan(*LIMITS, **{"rounds": 1} | changed), journal).run(ALONE)
    assert named in str(caught.value)
    assert journal.read_bytes() == kept


def test_other_constraints_are_refused(make_plan, journal):
    plan = make_plan("params<=60000", rounds=1)
    GeneticSearch(plan, journal).run(ALONE)
    kept = journal.read_bytes()
    for other in (
        make_plan("params<=60000.5", rounds=1),
        make_plan("params<=60000", "macs<=1M", rounds=1),
        make_plan(rounds=1),
        replace(plan, query_norm="deployed"),
    ):
        with pytest.raises(SettingsMismatchError):
            GeneticSearch(other, journal).run(ALONE)
    assert journal.read_bytes() == kept


@pytest.mark.parametrize(
    "text", ["[1, 2]\n", '{"round": 0}\n', "nonsense\n", '{"settings": {\n1\n']
)
def test_a_file_that_is_no_journal_is_refused(make_plan, journal, text):
    journal.write_text(text)
    with pytest.raises(CheckpointError, match=r"search\.jsonl"):
        GeneticSearch(make_plan(), journal).run(ALONE)
    assert journal.read_text() == text


# The Pareto front


CANDIDATES = st.lists(
    st.builds(
        lambda accuracy, cost: Candidate("k1c64relu", 1.0, accuracy / 4, {"macs": float(cost)}),
        st.integers(0, 4),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=20,
)


@given(candidates=CANDIDATES)
def test_the_front_is_what_nothing_else_beats(candidates):
    result = SearchResult(candidates[0], (candidates[0],), tuple(candidates))
    front = [(c.costs["macs"], c.accuracy) for c in result.front("macs")]
    points = [(c.costs["macs"], c.accuracy) for c in candidates]

    def beaten(point):
        cost, accuracy = point
        return any((c <= cost and a >= accuracy) and (c, a) != point for c, a in points)

    assert front == sorted({point for point in points if not beaten(point)})
