"""What tests have several workers do: a spawned process must be able to import it."""

import os
import signal
import time

import torch
import torch.distributed as dist

from metanas.data import EpisodeSampler, EpisodeSettings
from metanas.errors import DataError
from metanas.meta import (
    Fixed,
    OuterSettings,
    TrainingFiles,
    TrainingPlan,
    evaluate,
    initialise,
    meta_train,
    validate,
)
from metanas.search import Costs, GeneticSearch, SearchPlan, SearchSettings
from metanas.spaces import VGG9Space
from support.patterns import make_patterns

WAYS = 3
INNER_STEPS = 2
TWO = ("k3c64relu", "k1c64elu")


def small_space():
    """Networks of 12x12 images with the base channels only, so that the largest is quick."""
    return VGG9Space(input_shape=(1, 12, 12), ways=WAYS, global_expansion=False)


def sampler(seed=0):
    return EpisodeSampler(make_patterns(), EpisodeSettings(WAYS, 1, 2), seed)


def training_plan(tasks):
    space = small_space()
    architecture = space.parse("k3c64relu-k3c64elu")
    outer = OuterSettings(
        epochs=1,
        iterations=1,
        tasks=tasks,
        inner_steps=INNER_STEPS,
        first_order_share=0,
        running_statistics=True,
    )
    return TrainingPlan(
        space=space,
        corners=(architecture,),
        chooser=Fixed(architecture),
        sampler=sampler(),
        outer=outer,
        query_norm="transductive",
        context={},
    )


def train(group, folder, tasks, *, observer=None):
    files = TrainingFiles(folder / "net.safetensors", folder / "net.metrics.jsonl")
    return meta_train(group, training_plan(tasks), files, observer=observer)


def search(group, journal, **settings):
    space = small_space()
    networks = [space.network(corner) for corner in space.corners()]
    costs = Costs(space, {})
    plan = SearchPlan(
        space=space,
        parameters=initialise(networks, steps=1, rate=0.1, seed=0).detached(),
        sampler=sampler(),
        costs=costs,
        constraints=(costs.parse("macs<=40%"),),
        settings=SearchSettings(
            **{"population": 5, "rounds": 2, "tasks": 2, "finalists": 3, "final_tasks": 2}
            | settings
        ),
        query_norm="transductive",
        context={},
    )
    return GeneticSearch(plan, journal).run(group)


def evaluate_untrained(group):
    network = small_space().network(small_space().parse("k3c64relu"))
    parameters = initialise([network], steps=1, rate=0.1, seed=0).detached()
    return evaluate(group, network, parameters, sampler(), episodes=6, batch=2)


def validate_untrained(group):
    """As training does at the end of an epoch."""
    networks = [small_space().network(small_space().parse(text)) for text in TWO]
    parameters = initialise(networks, steps=1, rate=0.1, seed=0).detached()
    return validate(group, networks, parameters, sampler(), tasks=13, query_norm="transductive")


def places(group):
    """Rank, pid and number of threads of every worker, gathered."""
    mine = torch.tensor([group.rank, os.getpid(), torch.get_num_threads()])
    table = torch.zeros((group.size, 3), dtype=torch.long)
    table[group.rank] = mine
    return group.sum(table).tolist()


def averages(group):
    """Means of tensors that differ between the workers: 1 and 2 times something."""
    tensors = [torch.ones(()), torch.arange(6.0).view(2, 3), torch.tensor([[5.0]])]
    tensors = [tensor * (group.rank + 1) for tensor in tensors]
    views = [tensors[0], tensors[1].T, tensors[2]]
    group.average(views)
    group.average([])
    return tensors


def sums(group):
    tensor = torch.tensor([1.0, 10.0], dtype=torch.float64) * (group.rank + 1)
    assert group.sum(tensor) is tensor
    return tensor.tolist()


def observed(group, *, observer=None):
    """How many workers have an observer."""
    count = group.sum(torch.tensor([float(observer is not None)]))
    if observer:
        observer("seen")
    return int(count)


def interrupt_helper(group):
    if not group.leads:
        os.kill(os.getpid(), signal.SIGINT)
    return sums(group)


def fail_on_helper(group, *, together):
    """A helper fails, while the first worker works by itself or waits for it."""
    if not group.leads:
        raise DataError("broken on the helper", hint="mend it")
    if together:
        group.sum(torch.ones(1))
    return "done"


def die_on_helper(group):
    if not group.leads:
        os.kill(os.getpid(), signal.SIGKILL)
    group.sum(torch.ones(1))


def fail_on_leader(group):
    """The first worker fails, while a helper waits for it."""
    if group.leads:
        raise DataError("broken here")
    dist.barrier()


def work_for_ever(group):
    while True:
        time.sleep(0.01)


def wait_for_leader(group):
    """A helper waits for the first worker, which does not come."""
    if group.leads:
        work_for_ever(group)
    dist.barrier()
