"""The activations, as TVM expressions that vectorise: no call into a library of mathematics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from tvm import tirx

_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772
_LEAKY_SLOPE = 0.01
_LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has so few digits that its products with small integers are exact.
_LN_2_HIGH = 0.693359375
_LN_2_LOW = -2.1219444005469057e-4
# exp(x) from x^5 down, fitted to |x| <= ln(2) / 2: off by at most 1e-7 of the value.
_EXP_TERMS = (8.290270e-3, 4.189816e-2, 0.16667638, 0.49999148, 0.99999971, 1)
_LEAST_EXPONENT = -87.0
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
    below = _exp_of_negative(tirx.min(value, _constant(0))) - _constant(1)
    return tirx.Select(value > _constant(0), value, below)


def _selu(value: Any) -> Any:
    below = _exp_of_negative(tirx.min(value, _constant(0))) - _constant(1)
    scaled_below = below * _constant(_SELU_SCALE * _SELU_ALPHA)
    return tirx.Select(value > _constant(0), value * _constant(_SELU_SCALE), scaled_below)


def _sigmoid(value: Any) -> Any:
    value = tirx.max(value, _constant(_LEAST_EXPONENT))
    return _constant(1) / (_constant(1) + _exp(tirx.max(-value, _constant(_LEAST_EXPONENT))))


def _exp_of_negative(value: Any) -> Any:
    """exp(value) for a value of at most 0. What is below e^-87 becomes e^-87, about 1e-38."""
    return _exp(tirx.max(value, _constant(_LEAST_EXPONENT)))


def _exp(value: Any) -> Any:
    """exp(value) for |value| <= 87: 2^n times a polynomial of the rest, |rest| <= ln(2) / 2."""
    # A sum this large has no fraction left, and n in its lowest nine bits.
    shifted = _bits(value * _constant(_LOG2_E) + _constant(_ROUNDER))
    n = tirx.reinterpret("float32", shifted) - _constant(_ROUNDER)  # TVM must not see the sum
    rest = value - n * _constant(_LN_2_HIGH) - n * _constant(_LN_2_LOW)
    series = _constant(_EXP_TERMS[0])
    for term in _EXP_TERMS[1:]:
        series = series * rest + _constant(term)
    exponent = shifted << tirx.const(_FRACTION_BITS, "int32")
    power_of_two = tirx.reinterpret("float32", exponent + tirx.const(_ONE_BITS, "int32"))
    return series * power_of_two


_ACTIVATIONS = {
    "none": lambda value: value,
    "relu": _relu,
    "elu": _elu,
    "selu": _selu,
    "sigmoid": _sigmoid,
    "relu6": _relu6,
    "leakyrelu": _leaky_relu,
}
