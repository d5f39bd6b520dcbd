"""Keys of layers, read back."""

from __future__ import annotations

from functools import lru_cache

from metanas_agent.errors import InvalidLayerError
from metanas_agent.layer_spec import LayerSpec
from metanas_agent.layers.add import AddLayer
from metanas_agent.layers.concat import ConcatLayer
from metanas_agent.layers.conv import ConvLayer
from metanas_agent.layers.empty import EmptyLayer
from metanas_agent.layers.head import HeadLayer
from metanas_agent.layers.operation import OperationLayer

_PARTS: dict[str, tuple[type[LayerSpec], tuple[str, ...]]] = {
    "conv": (ConvLayer, ("c", "k", "s", "", "p", "")),
    "operation": (OperationLayer, ("c", "", "s", "")),
    "concat": (ConcatLayer, ("n", "")),
    "add": (AddLayer, ("", "p", "")),
    "head": (HeadLayer, ("n", "w", "")),
    "empty": (EmptyLayer, ()),
}
"""Of each kind of layer, what the parts of its key behind the shape begin with: a letter and then
a number, or nothing and then a name. They stand in the order of the layer's fields."""

_LONGEST_KEY = 200


def parse_layer(key: str) -> LayerSpec:
    """Read a layer back from its key.

    Raises:
        InvalidLayerError: the text is no layer's key.
    """
    if len(key) > _LONGEST_KEY:
        raise _no_layer(key)
    try:
        op, shape, *rest = key.split("/", 2)
        return _PARTS[op][0](*_shape(shape), *_values(op, *rest))
    except (KeyError, ValueError) as error:
        raise _no_layer(key) from error


def _no_layer(key: str) -> InvalidLayerError:
    return InvalidLayerError(
        f"not a layer: {key[:_LONGEST_KEY]!r}",
        hint="write one like conv/1x28x28/c64/k3/s1/relu/p2/float32",
    )


@lru_cache(maxsize=4096)  # thousands of keys have a few dozen shapes
def _shape(text: str) -> tuple[int, int, int]:
    channels, height, width = map(_number, text.split("x"))
    return (channels, height, width)


@lru_cache(maxsize=4096)  # and behind them a hundred different texts
def _values(op: str, *rest: str) -> tuple[int | str, ...]:
    parts = rest[0].split("/") if rest else ()
    return tuple(_part(*pair) for pair in zip(_PARTS[op][1], parts, strict=True))


def _part(prefix: str, text: str) -> int | str:
    if not prefix:
        return text
    if not text.startswith(prefix):
        raise ValueError(text)
    return _number(text[len(prefix) :])


def _number(text: str) -> int:
    """A number that is written as it would be printed."""
    number = int(text)
    if str(number) != text:
        raise ValueError(text)
    return number
