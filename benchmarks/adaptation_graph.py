"""The inner loop as an ONNX graph against the inner loop in torch, one thread each.

    python benchmarks/adaptation_graph.py random [--networks 500] [--input 1x28x28] [--seed 0]
                                                   [--space cells]
    python benchmarks/adaptation_graph.py accuracy [--run RUN | --downsampling pooled]
                                                   [--episodes 600]
    python benchmarks/adaptation_graph.py speed [--repeats 20] [--space cells]
    python benchmarks/adaptation_graph.py load [--repeats 20] [--space cells]

`random` exports random architectures of every space, those of VGG9 and ResNet12 `pooled` and
`strided`, and learns one random task with each; without --run, `accuracy` first trains a network
on the embedded glyphs for a moment. A difference is that of a learned weight from the one that
torch learns in float64, as a share of its tensor's largest; `torch` is that of torch's own float32.
`accuracy` also gives that of all weights together, as a vector: its length as a share of theirs.

`speed` compares the processor time, not the time of day, so that other programs on the machine
matter less: `eager` is torch as one writes it (conv2d, batch_norm, autograd), `metanas` is the
inner loop of `metanas.meta`. Both give the adapted weights alone, the graph folds batch-norm too.

`load` gives the processor time until ONNX Runtime has loaded the graph, and that of its first run:
`default` with the runtime's own settings, `agent` with those of `metanas-agent learn`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from eager_inner_loop import eager
from input_shape import input_shape
from metanas.deploy.adaptation_graph import export_adaptation_graphs
from metanas.deploy.adaptation_graph.agreement import (
    Folded,
    difference,
    feeds,
    folded_by_torch,
    learned_by_torch,
    one_threaded,
    run_adaptation,
)
from metanas.deploy.adaptation_graph.traced_network import trace_network
from metanas.errors import ExportError
from metanas.meta import OuterSettings, adapted_weights
from metanas.parallel import Workers
from metanas.runs import (
    FOUND,
    RunFolder,
    RunSettings,
    export_adaptation,
    load_trained,
    train_network,
)
from metanas.runs.training import trained_architecture
from support.learning_networks import learning_network, random_support, random_text
from support.random_networks import WAYS, make_card

_MIXED = (
    "skip@0+conv3x3@1,maxpool3x3@0+sepconv3x3@2,avgpool3x3@1+dilconv3x3@3:"
    "conv1x5-5x1@0+maxpool3x3@1,skip@0+sepconv3x3@2,dilconv3x3@1+avgpool3x3@3"
)
"""Every operation of the cells in one network."""

_SEPARABLE = ",".join(["sepconv3x3@0+sepconv3x3@1"] * 3)
"""The cell of the most convolutions."""

SPEED = (
    ("vgg9", (1, 28, 28), "strided", "k3c16relu-k3c16relu-k3c16relu-k3c16relu"),
    ("vgg9", (1, 28, 28), "strided", "k3c64relu-k3c64relu-k3c64relu-k3c64relu"),
    ("vgg9", (1, 28, 28), "pooled", "k3c16relu-k3c16relu-k3c16relu-k3c16relu"),
    ("vgg9", (1, 28, 28), "pooled", "k3c16relu-k5c32elu-k1c16selu-k3c32leakyrelu"),
    ("vgg9", (3, 84, 84), "strided", "k3c16relu-k3c16relu-k3c32relu-k3c32relu"),
    ("vgg9", (3, 84, 84), "strided", "k3c48relu-k3c48relu-k3c48relu-k3c48relu"),
    ("vgg9", (3, 84, 84), "pooled", "k3c16relu-k3c16relu-k3c32relu-k3c32relu"),
    ("resnet12", (3, 84, 84), "pooled", "k3c8relu-k1c16elu-k5c8selu-k3c16relu-k1c16relu-k3c32relu"),
    ("cells", (1, 28, 28), "", _MIXED),
    ("cells", (1, 28, 28), "", f"{_SEPARABLE}:{_SEPARABLE}"),
    ("cells", (3, 84, 84), "", _MIXED),
)
KINDS = (
    ("vgg9", "pooled"),
    ("resnet12", "pooled"),
    ("vgg9", "strided"),
    ("resnet12", "strided"),
    ("cells", ""),
)
STEPS = 5


def main() -> None:
    options = parse_options()
    torch.set_num_threads(1)
    benchmarks = {"random": random_networks, "accuracy": accuracy, "speed": speed, "load": load}
    benchmarks[options.what](options)


def random_networks(options: argparse.Namespace) -> None:
    found: list[tuple[float, float]] = []
    refused = 0
    kinds = [kind for kind in KINDS if options.space in ("", kind[0])]
    for number in range(options.networks):
        space, downsampling = kinds[number % len(kinds)]
        seed, shape, settings = options.seed + number, options.input, space_settings(downsampling)
        text = random_text(space, seed, input_shape=shape, settings=settings)
        network, parameters = learning_network(
            space, text, input_shape=shape, settings=settings, steps=STEPS, seed=seed
        )
        card = make_card(text, channels=shape[0])
        try:
            graphs = export_adaptation_graphs(network, parameters, input_shape=shape, metadata=card)
        except ExportError as error:
            refused += 1
            print(f"{space} {downsampling} {text}: {error}", flush=True)
            continue
        support = random_support(shape, seed=seed)
        exact = learned_by_torch(network, parameters, *support, torch.float64)
        found.append(
            (
                difference(run_adaptation(graphs.adaptation, *support), exact),
                difference(learned_by_torch(network, parameters, *support), exact),
            )
        )
        if (number + 1) % 20 == 0:
            print(f"{number + 1} done, {refused} refused", flush=True)
    print(f"{len(found)} of {options.networks} exported, checked and agreed")
    for name, values in zip(("graph", "torch"), np.array(found).T, strict=True):
        median, p90 = np.percentile(values, (50, 90))
        within = np.mean(values <= 1e-5)
        print(
            f"{name}: difference median {median:.1e}, 90th percentile {p90:.1e}, "
            f"largest {values.max():.1e}; within 1e-5: {within:.1%}"
        )


def accuracy(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        if options.run:
            folder = RunFolder.open(options.run)
        else:
            folder = _trained(Path(scratch) / "run", options.downsampling)
        settings = folder.settings
        data = settings.load_data()
        space = settings.make_space(data)
        network = space.network(space.parse(trained_architecture(folder, FOUND)))
        parameters = load_trained(folder, FOUND).cut(network)
        graphs = export_adaptation(folder)
    adaptation, classifier = one_threaded(graphs.adaptation), one_threaded(graphs.classifier)
    names = [output.name for output in adaptation.get_outputs()]
    right = np.zeros((2, options.episodes))
    differences = np.zeros((2, 2, options.episodes))  # of the graph and torch; by tensor, together
    otherwise = np.zeros(2, int)
    for number in range(options.episodes):
        episode = settings.sampler(data, "test").batch(number, 1)
        images, labels = episode.support_images[0].numpy(), episode.support_labels[0].numpy()
        support, query = feeds(images, labels, settings.ways), episode.query_images[0]
        (logits,) = classifier.run(None, support | {"query_images": query.numpy()})
        learned = dict(zip(names, adaptation.run(None, support), strict=True))
        module, exact = (
            folded_by_torch(network, parameters, images, labels, dtype)
            for dtype in (torch.float32, torch.float64)
        )
        with torch.no_grad():
            by_torch, by_exact = module(query).numpy(), exact(query.double()).numpy()
        truth = episode.query_labels[0].numpy()
        for index, given in enumerate((logits, by_torch)):
            right[index, number] = (given.argmax(1) == truth).mean()
            otherwise[index] += (given.argmax(1) != by_exact.argmax(1)).sum()
        values = {name: tensor.numpy() for name, tensor in exact.state_dict().items()}
        by_module = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
        differences[:, :, number] = [
            (difference(each, values), together(each, values)) for each in (learned, by_module)
        ]
    print(f"{options.episodes} episodes of {len(truth)} query images, against torch in float64:")
    for index, name in enumerate(("graph", "torch")):
        print(
            f"{name}: accuracy {right[index].mean():.4%}, {otherwise[index]} images classified "
            "otherwise"
        )
        for measure, values in zip(("by tensor", "together"), differences[index], strict=True):
            median, p90 = np.percentile(values, (50, 90))
            print(
                f"  weights' difference {measure}: median {median:.1e}, 90th percentile {p90:.1e}, "
                f"within 1e-5 in {np.mean(values <= 1e-5):.1%}"
            )


def together(given: Folded, expected: Folded) -> float:
    """Length of the difference of all weights, as a share of theirs."""
    pairs = [(given[name].ravel(), values.ravel()) for name, values in expected.items()]
    found, wanted = (np.concatenate(each).astype(float) for each in zip(*pairs, strict=True))
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def speed(options: argparse.Namespace) -> None:
    print("space     input    sampling  graph ms  eager ms  times  metanas ms  times  architecture")
    for space, shape, downsampling, text in chosen(options):
        settings = space_settings(downsampling)
        network, parameters = learning_network(
            space, text, input_shape=shape, settings=settings, steps=STEPS
        )
        nodes = trace_network(network, shape).nodes
        card = make_card(text, channels=shape[0])
        graphs = export_adaptation_graphs(network, parameters, input_shape=shape, metadata=card)
        session = one_threaded(graphs.adaptation)
        images, labels = random_support(shape)
        support = feeds(images, labels, WAYS)
        x, y = torch.from_numpy(images), torch.from_numpy(labels)
        graph_ms, eager_ms, own_ms = best_ms(
            options.repeats,
            lambda s=session, f=support: s.run(None, f),
            lambda n=nodes, p=parameters, x=x, y=y: eager(n, p, x, y),
            lambda n=network, p=parameters, x=x, y=y: adapted_weights(n, p, x[None], y[None]),
        )
        size = "x".join(map(str, shape))
        print(
            f"{space:9} {size:8} {downsampling:8} {graph_ms:9.2f} {eager_ms:9.2f} "
            f"{eager_ms / graph_ms:6.2f} {own_ms:11.2f} {own_ms / graph_ms:6.2f}  {text}",
            flush=True,
        )


def load(options: argparse.Namespace) -> None:
    print("space     input    sampling  default: load  first run   agent: load  first run  network")
    for space, shape, downsampling, text in chosen(options):
        settings = space_settings(downsampling)
        network, parameters = learning_network(
            space, text, input_shape=shape, settings=settings, steps=STEPS
        )
        card = make_card(text, channels=shape[0])
        graphs = export_adaptation_graphs(network, parameters, input_shape=shape, metadata=card)
        support = feeds(*random_support(shape), WAYS)
        best = np.full((2, 2), np.inf)
        for _ in range(options.repeats):
            for index, in_agent in enumerate((False, True)):
                start = time.process_time()
                session = _session(graphs.adaptation, in_agent=in_agent)
                loaded = time.process_time()
                session.run(None, support)
                times = ((loaded - start) * 1e3, (time.process_time() - loaded) * 1e3)
                best[index] = np.minimum(best[index], times)
        size, (default, agent) = "x".join(map(str, shape)), best
        print(
            f"{space:9} {size:8} {downsampling:8} {default[0]:11.1f} ms {default[1]:7.1f} ms "
            f"{agent[0]:9.1f} ms {agent[1]:7.1f} ms  {text}",
            flush=True,
        )


def chosen(options: argparse.Namespace) -> list[tuple[str, tuple[int, int, int], str, str]]:
    """Space, input, down-sampling and architecture of the networks that are timed."""
    return [row for row in SPEED if options.space in ("", row[0])]


def space_settings(downsampling: str) -> dict[str, str]:
    """Of a space that has the switch."""
    return {"downsampling": downsampling} if downsampling else {}


def _session(model: bytes, *, in_agent: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if in_agent:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_mem_reuse = False
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def best_ms(repeats: int, *calls: Callable[[], object]) -> list[float]:
    """The shortest processor time of each, taken in turns."""
    best = [float("inf")] * len(calls)
    for _ in range(repeats):
        for index, call in enumerate(calls):
            start = time.process_time()
            call()
            best[index] = min(best[index], (time.process_time() - start) * 1e3)
    return best


def _trained(path: Path, downsampling: str) -> RunFolder:
    folder = RunFolder.create(path, RunSettings(workers=1, downsampling=downsampling))
    with Workers(1) as workers:
        outer = OuterSettings(epochs=2, iterations=60, tasks=4, inner_steps=STEPS)
        train_network(workers, folder, FOUND, "k3c16relu-k5c16elu-k3c32relu-k3c16selu", outer)
    return folder


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("random", "accuracy", "speed", "load"))
    parser.add_argument("--networks", type=int, default=500)
    parser.add_argument("--input", type=input_shape, default=(1, 28, 28))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--space", choices=("vgg9", "resnet12", "cells"), default="")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--downsampling", choices=("pooled", "strided"), default="pooled")
    parser.add_argument("--episodes", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
