"""A network of residual blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from metanas.spaces.activations import finish, finishing_modules
from metanas.spaces.conv_network import ConvNetwork, Convolve, Fold
from metanas_agent.layers import AddLayer, ConvLayer, HeadLayer, LayerSpec


class ResidualNetwork(ConvNetwork):
    """Residual blocks, then a head.

    Args:
        layers: of each block its convolutions, the shortcut's convolution, an `AddLayer`; then one
            `HeadLayer`. The shortcut sees what the block's first convolution sees.
    """

    def __init__(self, layers: Sequence[LayerSpec]) -> None:
        *body, head = layers
        self.blocks = {f"block{i}": block for i, block in enumerate(_split(body))}
        if not isinstance(head, HeadLayer):
            raise TypeError("a residual network ends in a head")
        convs: dict[str, ConvLayer] = {}
        for name, block in self.blocks.items():
            convs |= {f"{name}.conv{i}": conv for i, conv in enumerate(block.convs)}
            convs[f"{name}.shortcut"] = block.shortcut
        super().__init__(convs, f"head{len(self.blocks)}", head)

    def _map(self, x: Tensor, convolve: Convolve) -> Tensor:
        for name, block in self.blocks.items():
            through = x
            for number, conv in enumerate(block.convs):
                through = finish(convolve(f"{name}.conv{number}", through), conv)
            x = finish(through + convolve(f"{name}.shortcut", x), block.add)
        return x

    def _modules(self, fold: Fold) -> Iterator[nn.Module]:
        for name, block in self.blocks.items():
            yield _FoldedBlock(name, block, fold)


class _Block(NamedTuple):
    convs: tuple[ConvLayer, ...]
    shortcut: ConvLayer
    add: AddLayer


def _split(layers: Sequence[LayerSpec]) -> Iterator[_Block]:
    convs: list[ConvLayer] = []
    for layer in layers:
        if isinstance(layer, ConvLayer):
            convs.append(layer)
        elif isinstance(layer, AddLayer) and len(convs) > 1:
            yield _Block(tuple(convs[:-1]), convs[-1], layer)
            convs = []
        else:
            raise TypeError("a residual block is convolutions, a shortcut, then a sum")
    if convs:
        raise TypeError("a residual block ends in a sum")


class _FoldedBlock(nn.Module):
    def __init__(self, name: str, block: _Block, fold: Fold) -> None:
        super().__init__()
        self.through = nn.Sequential()
        for number, conv in enumerate(block.convs):
            self.through.extend([fold(f"{name}.conv{number}"), *finishing_modules(conv)])
        self.shortcut = fold(f"{name}.shortcut")
        self.end = nn.Sequential(*finishing_modules(block.add))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.end(self.through(x) + self.shortcut(x))
        return y
