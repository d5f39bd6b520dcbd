"""The activations, as TVM expressions that vectorise: no call into a library of mathematics."""

from __future__ import annotations

from typing import Any

from tvm import tirx

_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772
_LEAKY_SLOPE = 0.01
_LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has so few digits that its products with small integers are exact.
_LN_2_HIGH = 0.693359375
_LN_2_LOW = -2.1219444005469057e-4
_LEAST_EXPONENT = -87.0
_FRACTION_BITS, _EXPONENT_BIAS = 23, 127


def activate(name: str, value: Any) -> Any:
    """The activation of a float32 expression, within about 1e-6 (relative) of ONNX's definition.

    Args:
        name: one of `metanas_agent.layers.ACTIVATIONS`, or "none".
    """
    return _ACTIVATIONS[name](value)


def _constant(value: float) -> Any:
    return tirx.const(value, "float32")


def _relu(value: Any) -> Any:
    return tirx.max(value, _constant(0))


def _relu6(value: Any) -> Any:
    return tirx.min(_relu(value), _constant(6))


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
    # By the exponential of what is not positive, which never overflows.
    small = _exp_of_negative(tirx.min(value, -value))
    above = _constant(1) / (_constant(1) + small)
    return tirx.Select(value > _constant(0), above, small * above)


def _exp_of_negative(value: Any) -> Any:
    """exp(value) for a value of at most 0: 2^n times the series of the rest, |rest| <= ln(2) / 2.

    Seven terms leave 1.2e-7 (relative). What is below e^-87 becomes e^-87, about 1e-38.
    """
    value = tirx.max(value, _constant(_LEAST_EXPONENT))
    n = (value * _constant(_LOG2_E) - _constant(0.5)).astype("int32")  # rounds towards zero
    whole = n.astype("float32")
    rest = value - whole * _constant(_LN_2_HIGH) - whole * _constant(_LN_2_LOW)
    series = _constant(1 / 720)
    for factorial in (120, 24, 6, 2, 1, 1):
        series = series * rest + _constant(1 / factorial)
    power_of_two = tirx.reinterpret(
        "float32", (n + tirx.const(_EXPONENT_BIAS, "int32")) << tirx.const(_FRACTION_BITS, "int32")
    )
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
