"""Network: a function of its weights, batched over tasks, that meta-learning can differentiate.

Why not `nn.Module`: every task of a meta-batch has weights of its own after an inner step, and
the outer gradient flows through those steps. So weights are passed in, and each tensor of the
adapted ones has the task as its first dimension.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor, nn

Weights = dict[str, Tensor]
"""Name to tensor."""

Shapes = dict[str, tuple[int, ...]]


class Moments(NamedTuple):
    """Batch-norm statistics of one layer, each (tasks, channels)."""

    mean: Tensor
    variance: Tensor


Statistics = dict[str, Moments]
"""Layer name to the statistics that normalised it."""


class Network(Protocol):
    """What the inner loop, the searches and the export need of an architecture."""

    @property
    def adapted_shapes(self) -> Shapes:
        """Tensors that the inner loop changes, without the task dimension."""

    @property
    def norm_shapes(self) -> Shapes:
        """Batch-norm scales and shifts, which MAML++ learns by the outer loop alone, per step."""

    def __call__(
        self,
        adapted: Weights,
        norms: Weights,
        images: Tensor,
        *,
        statistics: Statistics | None = None,
        record: Statistics | None = None,
    ) -> Tensor:
        """Logits of each task's images under each task's weights.

        Args:
            adapted: tensors of `adapted_shapes`, each with the task as first dimension.
            norms: tensors of `norm_shapes`, shared by all tasks; or empty, and `adapted` has them.
            images: (tasks, images, channels, height, width).
            statistics: normalise with these; None takes those of `images` themselves.
            record: filled with the statistics that were used.

        Returns:
            (tasks, images, ways).
        """

    def folded(self, adapted: Weights, norms: Weights, statistics: Statistics) -> nn.Module:
        """A plain module for one task (no task dimension) with batch-norm folded away."""


def cut(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A sub-network's part of a super-network's tensor, as a view.

    Channels are the leading ones; a kernel (dimensions 2 and 3) is the centre of the larger one,
    as in Once-for-All, whose super-network H-Meta-NAS follows.
    """
    for dimension, size in enumerate(shape):
        start = (tensor.shape[dimension] - size) // 2 if dimension >= 2 else 0
        tensor = tensor.narrow(dimension, start, size)
    return tensor
