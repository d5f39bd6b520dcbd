import zlib
from itertools import product

import numpy as np
import pytest

from metanas.meta import evaluate_loss
from metanas.parallel import Group
from metanas.search import GeneticSearch
from metanas.search.selection import pareto_front

ALONE = Group()
LIMITS = ("latency_ms[wide]<=30%", "params<=6%")
EXHAUSTIVE = {"first_tasks": 1000, "task_rounds": 1}

pytestmark = pytest.mark.usefixtures("one_thread")


def oddity(text):
    """How much of an architecture is not as it should be: k3 and elu in four layers."""
    layers = text.split("-")
    return 4 - len(layers) + sum(layer[:2] != "k3" or layer[-3:] != "elu" for layer in layers)


def noise(text, task):
    return zlib.crc32(f"{text} {task}".encode()) / 2**32 - 0.5


# What is evaluated


def test_only_architectures_within_the_limits_are_evaluated(make_plan, journal, evaluated):
    plan = make_plan(*LIMITS)
    GeneticSearch(plan, journal).run(ALONE)
    genes = plan.space.encode([plan.space.parse(text) for text in {text for text, _ in evaluated}])
    for constraint in plan.constraints:
        assert (plan.costs.of(constraint.cost, genes) <= constraint.limit).all()
    # The limits matter: most of the space breaks them.
    anything = plan.space.sample(1000, np.random.default_rng(0))
    assert plan.costs.satisfied(plan.constraints, anything).mean() < 0.5


def test_only_the_better_ones_see_all_tasks(make_plan, journal, lines_of, evaluated):
    """Of 6 architectures, and 2 elite: 6, 3 and 2 see 1, 2 and 4 tasks, then 4, 2 and 1."""
    plan = make_plan(*LIMITS)
    assert plan.settings.elite == 2
    assert plan.settings.rungs == (1, 1, 2)
    result = GeneticSearch(plan, journal).run(ALONE)
    rounds = lines_of()[1]
    assert [sorted(line["tasks"]) for line in rounds] == [
        [1, 1, 1, 2, 4, 4],
        [1, 1, 2, 4, 4, 4],
        [1, 1, 2, 4, 4, 4],
    ]
    assert [line["task_set"] for line in rounds] == [0, 0, 1]
    # The elite knows the second round's tasks, and not the third's.
    assert [line["evaluations"] for line in rounds] == [13, 8, 16]
    assert result.evaluations == 37
    compared = len({c.architecture for c in result.finalists + result.front})
    assert len(evaluated) >= 37 + 2 * compared


def test_nothing_is_evaluated_twice(make_plan, journal, evaluated):
    GeneticSearch(make_plan(*LIMITS), journal).run(ALONE)
    assert len(set(evaluated)) == len(evaluated)


def test_those_that_go_on_are_those_with_the_least_loss(make_plan, journal, lines_of, pretend):
    pretend(lambda text, task: oddity(text))
    GeneticSearch(make_plan(population=12), journal).run(ALONE)
    for line in lines_of()[1]:
        elite = 4 if line["round"] else 0
        assert line["tasks"][:elite] == [4] * elite
        children = zip(line["losses"][elite:], line["tasks"][elite:], strict=True)
        poorest_first = sorted(children, key=lambda child: (-child[0], child[1]))
        tasks = [tasks for _, tasks in poorest_first]
        assert tasks == sorted(tasks)
        assert tasks[0] < tasks[-1]


def test_all_may_see_all(make_plan, journal, lines_of, evaluated):
    plan = make_plan(*LIMITS, **EXHAUSTIVE)
    assert plan.settings.rungs == (4,)
    GeneticSearch(plan, journal).run(ALONE)
    rounds = lines_of()[1]
    assert [line["evaluations"] for line in rounds] == [24, 24, 24]
    assert [line["task_set"] for line in rounds] == [0, 1, 2]
    texts = [text for text, _ in evaluated[:24:4]]
    assert sorted(texts) == sorted(rounds[0]["architectures"])


def test_the_paper_s_numbers_take_a_fraction_of_all_evaluations(make_plan, journal, pretend):
    pretend(lambda text, task: oddity(text) + noise(text, task))
    paper = {"population": 100, "rounds": 5, "tasks": 16, "elite_share": 0.1}
    paper |= {"first_tasks": 2, "reduction": 4, "task_rounds": 5}
    result = GeneticSearch(make_plan(**paper), journal).run(ALONE)
    assert result.evaluated == 100 + 4 * 90
    assert result.evaluations < 5 * 100 * 16 / 3


def test_the_elite_lives_on_and_all_others_are_new(make_plan, journal, lines_of):
    GeneticSearch(make_plan(*LIMITS, rounds=4, **EXHAUSTIVE), journal).run(ALONE)
    seen = set()
    previous = None
    for line in lines_of()[1]:
        texts = line["architectures"]
        assert len(set(texts)) == 6
        if previous:
            assert set(texts[:2]) < set(previous["architectures"])
            assert not seen & set(texts[2:])
        if line["round"] == 1:
            losses = dict(zip(previous["architectures"], previous["losses"], strict=True))
            assert texts[:2] == sorted(losses, key=losses.get)[:2]
        seen |= set(texts)
        previous = line


def test_the_journal_holds_every_cost(make_plan, journal, lines_of):
    plan = make_plan(*LIMITS)
    GeneticSearch(plan, journal).run(ALONE)
    header, rounds = lines_of()
    assert header["settings"]["constraints"] == [str(c) for c in plan.constraints]
    for line in rounds:
        genes = plan.space.encode([plan.space.parse(t) for t in line["architectures"]])
        assert line["costs"].keys() == set(plan.costs)
        for name, values in line["costs"].items():
            assert values == pytest.approx(plan.costs.of(name, genes), abs=1e-6)


def test_losses_are_those_of_the_round_s_tasks(make_plan, journal, lines_of):
    """Whether a child sees them bit by bit, or an elite that does not know them yet."""
    plan = make_plan(*LIMITS)
    GeneticSearch(plan, journal).run(ALONE)
    line = lines_of()[1][2]
    assert line["tasks"][0] == max(line["tasks"][2:]) == 4
    for place in (0, 2 + line["tasks"][2:].index(4)):
        network = plan.space.network(plan.space.parse(line["architectures"][place]))
        outcomes = [
            evaluate_loss(
                network,
                plan.parameters.cut(network),
                plan.sampler.batch(3 * line["task_set"] + rung, tasks),
                query_norm="transductive",
            )
            for rung, tasks in enumerate((1, 1, 2))
        ]
        loss, accuracy = np.average(outcomes, axis=0, weights=(1, 1, 2))
        assert line["losses"][place] == pytest.approx(loss, abs=1e-6)
        assert line["accuracies"][place] == pytest.approx(accuracy, abs=1e-6)


def test_rounds_see_fewer_query_images_than_the_comparison(make_plan, journal, evaluated):
    """Of 2 a class that there are."""
    result = GeneticSearch(make_plan(*LIMITS, queries=1), journal).run(ALONE)
    sizes = [len(images) for _, images in evaluated]
    assert set(sizes[: result.evaluations]) == {3 * 144 * 4}
    assert set(sizes[result.evaluations :]) == {6 * 144 * 4}


# What is found


def test_the_result(make_plan, journal, lines_of):
    plan = make_plan(*LIMITS)
    result = GeneticSearch(plan, journal).run(ALONE)
    texts = {text for line in lines_of()[1] for text in line["architectures"]}
    assert result.evaluated == len(texts)
    losses = [finalist.loss for finalist in result.finalists]
    assert losses == sorted(losses)
    assert result.winner == result.finalists[0]
    assert len(result.finalists) == 3
    for candidate in result.finalists + result.front:
        assert candidate.architecture in texts
        genes = plan.space.encode([plan.space.parse(candidate.architecture)])
        assert candidate.costs == {name: plan.costs.of(name, genes)[0] for name in plan.costs}


def test_the_winner_s_loss_is_of_tasks_that_no_round_used(make_plan, journal, evaluated):
    plan = make_plan(*LIMITS)
    result = GeneticSearch(plan, journal).run(ALONE)
    in_rounds = {task for _, task in evaluated[: result.evaluations]}
    assert not in_rounds & {task for _, task in evaluated[result.evaluations :]}
    network = plan.space.network(plan.space.parse(result.winner.architecture))
    loss, _ = evaluate_loss(
        network,
        plan.parameters.cut(network),
        plan.sampler.batch(2 * 3, 2),  # behind two sets of three batches
        query_norm="transductive",
    )
    assert result.winner.loss == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("how", [{}, EXHAUSTIVE])
def test_a_search_comes_to_networks_that_do_better(make_plan, journal, lines_of, pretend, how):
    """Though a task says little: the best of the space is found, by few evaluations too."""
    pretend(lambda text, task: oddity(text) + 2 * noise(text, task))
    plan = make_plan(population=40, rounds=15, elite_share=0.2, tasks=8, **how)
    result = GeneticSearch(plan, journal).run(ALONE)
    assert oddity(result.winner.architecture) == 0
    assert result.evaluations == sum(line["evaluations"] for line in lines_of()[1])
    assert how or result.evaluations < 15 * 40 * 8 / 2


def test_a_network_that_diverges_is_last_and_not_fatal(make_plan, journal, lines_of, pretend):
    pretend(lambda text, task: float("nan") if text.startswith("k5") else 1.0)
    result = GeneticSearch(make_plan(population=12), journal).run(ALONE)
    assert not result.winner.architecture.startswith("k5")
    assert any(t.startswith("k5") for line in lines_of()[1] for t in line["architectures"])


def test_a_population_of_elites_alone_ends(make_plan, journal, evaluated):
    plan = make_plan(population=2, elite_share=1.0, rounds=2, finalists=1, front_size=1)
    result = GeneticSearch(plan, journal).run(ALONE)
    assert result.evaluated == 2
    assert result.evaluations == 2 * 4


# The Pareto front


def test_the_front_is_what_nothing_else_beats(make_plan, journal, pretend):
    pretend(lambda text, task: oddity(text))
    result = GeneticSearch(make_plan(*LIMITS, population=20), journal).run(ALONE)
    assert result.front_costs == ("latency_ms[wide]",)
    latencies = [c.costs["latency_ms[wide]"] for c in result.front]
    assert latencies == sorted(latencies)
    points = np.array([(c.costs["latency_ms[wide]"], -c.accuracy) for c in result.front])
    assert len(pareto_front(points)) == len(points)


def test_without_a_constraint_the_front_is_against_macs(make_plan):
    assert make_plan().front_costs == ("macs",)
    assert make_plan("params<=50%", "latency_ms[wide]<=50%").front_costs == ("latency_ms[wide]",)
    assert make_plan("params<=50%", front=("size_bytes", "macs")).front_costs == (
        "size_bytes",
        "macs",
    )


def genes_of(plan, candidate):
    return plan.space.encode([plan.space.parse(candidate.architecture)])


def volume(points, corner):
    """Area that the front of some (cost, loss) dominates, up to a corner."""
    front = np.array(points)[pareto_front(np.array(points))]
    steps = np.append(front[1:, 0], corner[0]) - front[:, 0]
    return float((steps * (corner[1] - front[:, 1])).sum())


def test_a_search_for_the_front_finds_all_of_it(make_plan, tmp_path, pretend):
    """More layers do better and cost more; the least loss alone leads to the large ones."""
    pretend(lambda text, task: oddity(text))
    areas = {}
    for front in ((), ("params",)):
        plan = make_plan(population=40, rounds=25, elite_share=0.25, front=front)
        result = GeneticSearch(plan, tmp_path / f"{len(front)}.jsonl").run(ALONE)
        points = [(plan.costs.of("params", genes_of(plan, c))[0], c.loss) for c in result.front]
        areas[front] = volume(points, corner=(300_000, 8))
    layers = ("k1c64relu", "k1c64elu", "k3c64relu", "k3c64elu")
    texts = ["-".join(some) for depth in range(1, 5) for some in product(layers, repeat=depth)]
    genes = plan.space.encode([plan.space.parse(text) for text in texts])
    everything = np.stack([plan.costs.of("params", genes), list(map(oddity, texts))], axis=1)
    assert areas["params",] == volume(everything, corner=(300_000, 8))
    assert areas["params",] > areas[()]


def test_a_front_may_be_against_several_costs(make_plan, journal, lines_of, evaluated):
    plan = make_plan(*LIMITS, front=("latency_ms[wide]", "latency_ms[narrow]"), front_size=4)
    result = GeneticSearch(plan, journal).run(ALONE)
    assert lines_of()[0]["settings"]["front"] == ["latency_ms[wide]", "latency_ms[narrow]"]
    assert 1 <= len(result.front) <= 4 + 3
    compared = {text for text, _ in evaluated[result.evaluations :]}
    assert {c.architecture for c in result.front + result.finalists} <= compared
    assert len(compared) <= 4 + 3


# Warm start


def test_a_warm_start_is_the_first_population_s_beginning(make_plan, journal, lines_of):
    """As far as it keeps within the limits, and each once."""
    inside, outside = ["k3c64elu", "k1c64relu"], "k5c64elu-k5c64elu-k5c64elu"
    plan = make_plan(*LIMITS, warm_start=[inside[0], outside, *inside])
    genes = plan.space.encode(plan.warm_start)
    assert plan.costs.satisfied(plan.constraints, genes).tolist() == [True, False, True, True]
    GeneticSearch(plan, journal).run(ALONE)
    header, rounds = lines_of()
    assert rounds[0]["architectures"][:2] == inside
    assert len(set(rounds[0]["architectures"])) == 6
    assert header["settings"]["warm_start"] == [inside[0], outside, *inside]


def test_a_warm_start_may_be_more_than_a_population(make_plan, journal, lines_of, all_genes):
    space = make_plan().space
    texts = [str(space.from_genes(row)) for row in all_genes[:9]]
    GeneticSearch(make_plan(warm_start=texts, rounds=1), journal).run(ALONE)
    assert lines_of()[1][0]["architectures"] == texts[:6]


def test_a_warm_start_s_good_one_is_found_at_once(make_plan, journal, pretend):
    pretend(lambda text, task: oddity(text))
    best = "-".join(["k3c64elu"] * 4)
    result = GeneticSearch(make_plan(warm_start=[best], rounds=1), journal).run(ALONE)
    assert result.winner.architecture == best
