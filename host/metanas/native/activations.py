"""The activations, as TVM expressions that vectorise: no call into a library of mathematics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from tvm import tirx

SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772
_LEAKY_SLOPE = 0.01
_LOG2_E = 1.4426950408889634
# 2^x from x^5 down, fitted to |x| <= 1/2: off by at most 1e-7 of the value.
_POWER_TERMS = (1.326465e-3, 9.671506e-3, 5.550734e-2, 0.2402224, 0.693147, 1)
_LARGEST_EXPONENT = 126.0
_OF_POSITIVE = ("relu", "relu6")  # 0 where the value is below
_FRACTION_BITS = 23
_ONE_BITS = 127 << _FRACTION_BITS
_SIX_BITS = 0x40C00000
_ROUNDER = 2**_FRACTION_BITS + 2**16  # of 7 digits: more are lost in TVM's C


def activate(name: str, value: Any) -> Any:
    """The activation of a float32 expression, within about 1e-6 (relative) of ONNX's definition.

    Args:
        name: one of `metanas_agent.layers.ACTIVATIONS`, or "none".
    """
    return _ACTIVATIONS[name](value)


def largest_of(name: str, values: Sequence[Any]) -> Any:
    """The largest value, or anything that has the same activation. For processors without vectors,
    whose integers are compared faster than floats: those of 0 and more have the same order.
    """
    if name not in _OF_POSITIVE:
        return reduce(tirx.max, values)
    return tirx.reinterpret("float32", reduce(tirx.max, map(_bits, values)))


def _bits(value: Any) -> Any:
    return tirx.reinterpret("int32", value)


def _constant(value: float) -> Any:
    return tirx.const(value, "float32")


def _relu(value: Any) -> Any:
    return tirx.reinterpret("float32", _bits_of_positive(value))


def _relu6(value: Any) -> Any:
    six = tirx.const(_SIX_BITS, "int32")
    return tirx.reinterpret("float32", tirx.min(_bits_of_positive(value), six))


def _bits_of_positive(value: Any) -> Any:
    # What is below 0 has the sign bit set, and is below 0 as an integer too.
    return tirx.max(_bits(value), tirx.const(0, "int32"))


def _leaky_relu(value: Any) -> Any:
    return tirx.max(value, value * _constant(_LEAKY_SLOPE))


def _elu(value: Any) -> Any:
    below = _exp_of_negative(value) - _constant(1)
    return tirx.Select(value > _constant(0), value, below)


def _selu(value: Any) -> Any:
    below = _exp_of_negative(value) - _constant(1)
    scaled_below = below * _constant(SELU_SCALE * SELU_ALPHA)
    return tirx.Select(value > _constant(0), value * _constant(SELU_SCALE), scaled_below)


def _sigmoid(value: Any) -> Any:
    exponent = tirx.min(_constant(_LARGEST_EXPONENT), value * _constant(-_LOG2_E))
    power = _power_of_two(tirx.max(_constant(-_LARGEST_EXPONENT), exponent))
    return _constant(1) / (_constant(1) + power)


def _exp_of_negative(value: Any) -> Any:
    """exp(value) for a value of at most 0, and any number for others. What is below 2^-126, about
    1e-38, becomes that."""
    return _power_of_two(tirx.max(_constant(-_LARGEST_EXPONENT), value * _constant(_LOG2_E)))


def _power_of_two(exponent: Any) -> Any:
    """2^exponent for |exponent| <= 126: 2^n times a polynomial of the rest, |rest| <= 1/2."""
    # A sum this large has no fraction left, and n in its lowest nine bits.
    shifted = _bits(exponent + _constant(_ROUNDER))
    n = tirx.reinterpret("float32", shifted) - _constant(_ROUNDER)  # TVM must not see the sum
    rest = exponent - n
    series = _constant(_POWER_TERMS[0])
    for term in _POWER_TERMS[1:]:
        series = series * rest + _constant(term)
    bits = (shifted << tirx.const(_FRACTION_BITS, "int32")) + tirx.const(_ONE_BITS, "int32")
    return series * tirx.reinterpret("float32", bits)


_ACTIVATIONS = {
    "none": lambda value: value,
    "relu": _relu,
    "elu": _elu,
    "selu": _selu,
    "sigmoid": _sigmoid,
    "relu6": _relu6,
    "leakyrelu": _leaky_relu,
}
