"""A network that is a chain of layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from metanas.spaces.activations import finish, finishing_modules
from metanas.spaces.conv_network import ConvNetwork, Convolve, Fold
from metanas_agent.layers import ConvLayer, HeadLayer, LayerSpec


class SequentialNetwork(ConvNetwork):
    """Convolution layers, then a head.

    Args:
        layers: `ConvLayer`s, then one `HeadLayer`.
    """

    def __init__(self, layers: Sequence[LayerSpec]) -> None:
        *convs, head = layers
        if not isinstance(head, HeadLayer) or not all(isinstance(c, ConvLayer) for c in convs):
            raise TypeError("a sequential network is convolution layers, then a head")
        named = {f"conv{i}": conv for i, conv in enumerate(convs) if isinstance(conv, ConvLayer)}
        super().__init__(named, f"head{len(named)}", head)

    def _map(self, x: Tensor, convolve: Convolve) -> Tensor:
        for name, conv in self.convs.items():
            x = finish(convolve(name, x), conv)
        return x

    def _modules(self, fold: Fold) -> Iterator[nn.Module]:
        for name, conv in self.convs.items():
            yield fold(name)
            yield from finishing_modules(conv)
