"""Does the graph learn what torch learns?"""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metanas.errors import ExportError
from metanas.meta import MetaParameters, adapted_weights, norms_at, support_statistics
from metanas.spaces.network import Moments, Network

TOLERANCE = 1e-5
"""Largest difference of a learned weight from torch's, as a share of its tensor's largest one."""

_WORSE_THAN_TORCH = 10
"""How much further from float64's weights than torch's own float32 the graph's may be."""

_TASKS = 6
"""Random tasks of which one must agree.

Gradient descent magnifies rounding, and more so behind a channel that hardly varies. Where a pixel
stands at the kink of its activation or level with another in its window, rounding even decides
which way the gradient goes: torch and torch then differ by a percent. That is a matter of luck,
and does not befall task after task, as a wrong graph does.
"""

Folded = dict[str, NDArray[np.floating]]


def check_adaptation(
    adaptation: bytes,
    network: Network,
    parameters: MetaParameters,
    *,
    input_shape: tuple[int, int, int],
    ways: int,
) -> None:
    """Learn random images in ONNX Runtime and in torch, and compare the weights.

    Raises:
        ExportError: they differ by more than rounding, or are not finite.
    """
    offs = []
    for task in range(_TASKS):
        images, labels = _random_support(input_shape, ways, task)
        given = run_adaptation(adaptation, images, labels)
        expected = learned_by_torch(network, parameters, images, labels)
        exact = learned_by_torch(network, parameters, images, labels, torch.float64)
        if not all(np.isfinite(values).all() for values in expected.values()):
            raise ExportError(
                "the inner loop's own weights are not finite numbers",
                hint="train the network again",
            )
        off = difference(given, exact)
        if off <= max(TOLERANCE, _WORSE_THAN_TORCH * difference(expected, exact)):
            return
        offs.append(off)
    raise ExportError(
        f"ONNX Runtime learns weights that are {min(offs):.1e} off",
        hint="report this network's architecture: the graph or a runtime is wrong",
    )


def _random_support(
    input_shape: tuple[int, int, int], ways: int, task: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Two images a class, so that batch-norm's statistics are of a few values at least."""
    labels = np.repeat(np.arange(ways), 2)
    rng = np.random.default_rng(task)
    return rng.standard_normal((len(labels), *input_shape), np.float32), labels


def run_adaptation(
    adaptation: bytes, images: NDArray[np.float32], labels: NDArray[np.integer]
) -> Folded:
    """The weights that `adapt.onnx` learns, by name, in one thread of this machine's runtime."""
    session = one_threaded(adaptation)
    _, ways = session.get_inputs()[1].shape
    values = session.run(None, feeds(images, labels, ways))
    return {output.name: v for output, v in zip(session.get_outputs(), values, strict=True)}


def feeds(
    images: NDArray[np.float32], labels: NDArray[np.integer], ways: int
) -> dict[str, NDArray[np.float32]]:
    """A support set as the graph takes it."""
    return {"support_images": images, "support_labels": np.eye(ways, dtype=np.float32)[labels]}


def one_threaded(model: bytes) -> onnxruntime.InferenceSession:
    """A session that uses the thread that calls it, plans no memory, and does not talk."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_mem_reuse = False  # as the agent has it: planning takes longer than learning
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def learned_by_torch(
    network: Network,
    parameters: MetaParameters,
    images: NDArray[np.float32],
    labels: NDArray[np.integer],
    dtype: torch.dtype = torch.float32,
) -> Folded:
    """What the graph must learn: the weights of `folded_by_torch`."""
    module = folded_by_torch(network, parameters, images, labels, dtype)
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def folded_by_torch(
    network: Network,
    parameters: MetaParameters,
    images: NDArray[np.float32],
    labels: NDArray[np.integer],
    dtype: torch.dtype = torch.float32,
) -> nn.Module:
    """The network behind the inner loop, batch-norm folded by the support set's statistics."""

    def alone(tensor: Tensor) -> Tensor:
        return tensor.squeeze(0)

    parameters = MetaParameters.from_named({n: t.to(dtype) for n, t in parameters.named()})
    support = torch.from_numpy(images).to(dtype)[None]
    norms = norms_at(parameters, parameters.steps - 1)
    weights = adapted_weights(network, parameters, support, torch.from_numpy(labels)[None])
    with torch.no_grad():
        statistics = support_statistics(network, weights, norms, support)
        return network.folded(
            {name: alone(tensor) for name, tensor in weights.items()},
            norms,
            {name: Moments(*map(alone, moments)) for name, moments in statistics.items()},
        )


def difference(given: Folded, expected: Folded) -> float:
    """Largest one over the tensors, each as a share of its largest expected value."""
    return max(
        float(np.abs(given[name] - values).max() / max(np.abs(values).max(), _TINY))
        for name, values in expected.items()
    )


_TINY = float(np.finfo(np.float32).tiny)
