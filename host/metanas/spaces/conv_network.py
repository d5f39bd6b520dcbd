"""ConvNetwork: convolutions with batch-norm, wired in some way, then a classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor, nn

from metanas.spaces.classifier import classifier_shapes, classify, fold_classifier
from metanas.spaces.convolution import channels_last, convolve
from metanas.spaces.network import Shapes, Statistics, Weights
from metanas.spaces.normalisation import Normaliser, fold_norm
from metanas_agent.layers import ConvLayer, HeadLayer

Convolve = Callable[[str, Tensor], Tensor]
"""Apply the named convolution and its batch-norm to a map."""

Fold = Callable[[str], nn.Conv2d]
"""The named convolution as a module, its batch-norm folded in."""


class ConvNetwork(ABC):
    """A `Network` of which a subclass says only how its convolutions are wired.

    The tasks ride in the channel dimension: images are laid out (images, tasks × channels, height,
    width), a convolution with one group a task applies each task's own kernel, and batch-norm over
    that layout is batch-norm a task and channel. So every operation is a plain one.

    Args:
        convs: by name; a super-network's networks share the parameters of one name.
        head_name: each depth needs a name of its own, since the classifiers see different maps.
        head: the classifier.
    """

    def __init__(self, convs: Mapping[str, ConvLayer], head_name: str, head: HeadLayer) -> None:
        self.convs = convs
        self.head_name = head_name
        self.head = head

    @abstractmethod
    def _map(self, x: Tensor, convolve: Convolve) -> Tensor:
        """The map that the classifier sees, of images (images, tasks × channels, ...)."""

    @abstractmethod
    def _modules(self, fold: Fold) -> Iterable[nn.Module]:
        """What `_map` does, as modules for one task."""

    @property
    def adapted_shapes(self) -> Shapes:
        """Weight and bias of each convolution and of the classifier."""
        shapes: Shapes = {}
        for name, conv in self.convs.items():
            kernel = (conv.kernel, conv.kernel)
            shapes[f"{name}.weight"] = (conv.out_channels, conv.in_channels, *kernel)
            shapes[f"{name}.bias"] = (conv.out_channels,)
        return shapes | classifier_shapes(self.head_name, self.head)

    @property
    def norm_shapes(self) -> Shapes:
        """Scale and shift of each convolution's batch-norm."""
        return {
            f"{name}.{part}": (conv.out_channels,)
            for name, conv in self.convs.items()
            for part in ("scale", "shift")
        }

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

        def layer(name: str, x: Tensor) -> Tensor:
            weight = adapted[f"{name}.weight"].flatten(0, 1)
            x = convolve(x, weight, stride=self.convs[name].stride, groups=len(images))
            return normalise(name, x, adapted[f"{name}.bias"])

        x = self._map(channels_last(images.transpose(0, 1).flatten(1, 2)), layer)
        return classify(x, self.head, self.head_name, adapted)

    def folded(self, adapted: Weights, norms: Weights, statistics: Statistics) -> nn.Module:
        """Convolution, activation and pooling modules, batch-norm folded into the convolution."""
        norms = norms or adapted

        def fold(name: str) -> nn.Conv2d:
            conv = self.convs[name]
            weight, bias = (adapted[f"{name}.{part}"] for part in ("weight", "bias"))
            module = nn.Conv2d(
                conv.in_channels,
                conv.out_channels,
                conv.kernel,
                stride=conv.stride,
                padding=conv.kernel // 2,
            )
            assert module.bias is not None
            module.weight.data, module.bias.data = fold_norm(
                norms, name, statistics[name], weight, bias
            )
            return module

        classifier = fold_classifier(self.head, self.head_name, adapted)
        return nn.Sequential(*self._modules(fold), *classifier).eval()
