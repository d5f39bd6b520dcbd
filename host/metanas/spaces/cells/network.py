"""CellsNetwork: a network of cells as a function of its weights, batched over tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from metanas.spaces.cells.convolution import concatenate, convolve_stage
from metanas.spaces.cells.folded import fold_network
from metanas.spaces.cells.plan import Step
from metanas.spaces.classifier import classifier_shapes, classify
from metanas.spaces.convolution import channels_last
from metanas.spaces.network import Shapes, Statistics, Weights
from metanas.spaces.normalisation import Normaliser
from metanas_agent.layers import AddLayer, ConcatLayer, HeadLayer, OperationLayer, Stage


class CellsNetwork:
    """A `Network` of steps; the tasks ride in the channel dimension, as in `ConvNetwork`.

    Convolutions have no bias: batch-norm, which stands behind each of them or the next one, takes
    it off again.

    Args:
        steps: the last one is the head.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        *self._body, self._end = steps
        if not isinstance(self._end.layer, HeadLayer):
            raise TypeError("a network of cells ends in a head")
        self._head = self._end.layer
        self._steps = tuple(steps)

    @property
    def adapted_shapes(self) -> Shapes:
        """Weight of each convolution, weight and bias of the classifier."""
        shapes: Shapes = {
            f"{name}.weight": stage.weight_shape
            for name, stage in self._stages()
            if stage.weight_shape
        }
        return shapes | classifier_shapes(self._end.name, self._head)

    @property
    def norm_shapes(self) -> Shapes:
        """Scale and shift of each batch-norm."""
        return {
            f"{name}.{part}": stage.output_shape[:1]
            for name, stage in self._stages()
            if stage.norm
            for part in ("scale", "shift")
        }

    def _stages(self) -> Iterator[tuple[str, Stage]]:
        for step in self._body:
            if isinstance(step.layer, OperationLayer):
                for stage in step.layer.stages:
                    yield f"{step.name}.{stage.name}", stage

    def __call__(
        self,
        adapted: Weights,
        norms: Weights,
        images: Tensor,
        *,
        statistics: Statistics | None = None,
        record: Statistics | None = None,
    ) -> Tensor:
        """Logits (tasks, images, ways); see `Network`."""
        normalise = Normaliser(norms or adapted, len(images), statistics, record)
        maps = [channels_last(images.transpose(0, 1).flatten(1, 2))]
        for step in self._body:
            maps.append(_run(step, [maps[number] for number in step.reads], adapted, normalise))
        (last,) = self._end.reads
        return classify(maps[last], self._head, self._end.name, adapted)

    def folded(self, adapted: Weights, norms: Weights, statistics: Statistics) -> nn.Module:
        """The same steps as modules, batch-norm folded into the convolution before it."""
        return fold_network(self._steps, adapted, norms or adapted, statistics)


def _run(step: Step, given: Sequence[Tensor], adapted: Weights, normalise: Normaliser) -> Tensor:
    match step.layer:
        case OperationLayer(stages=stages):
            (x,) = given
            for stage in stages:
                x = _run_stage(stage, f"{step.name}.{stage.name}", x, adapted, normalise)
            return x
        case AddLayer():
            one, other = given
            return one + other
        case ConcatLayer():
            return concatenate(given, tasks=normalise.tasks)
    raise TypeError(f"no cell has a {step.layer.op} layer")


def _run_stage(
    stage: Stage, name: str, x: Tensor, adapted: Weights, normalise: Normaliser
) -> Tensor:
    if stage.kind == "maxpool":
        return F.max_pool2d(x, stage.kernel, stage.stride, stage.padding)
    if stage.kind == "avgpool":
        return F.avg_pool2d(x, stage.kernel, stage.stride, stage.padding, count_include_pad=False)
    if stage.relu:
        x = F.relu(x)
    x = convolve_stage(x, adapted[f"{name}.weight"], stage, tasks=normalise.tasks)
    return normalise(name, x) if stage.norm else x
