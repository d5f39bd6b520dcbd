"""Batch-norm by the images' own statistics, and its gradient.

With a channel's pixels side by side, sums and factors of a channel are the fastest that they get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metanas.deploy.adaptation_graph.writer import GraphWriter, Value
from metanas.spaces.batch_norm import NORM_EPSILON


class Moments(NamedTuple):
    """Mean and variance of each channel of a map, (channels,)."""

    mean: Value
    variance: Value


class Gradients(NamedTuple):
    """Of what batch-norm takes."""

    x: Value
    scale: Value
    shift: Value


class Normalised(NamedTuple):
    """Batch-norm's output, and what writes its backward part."""

    output: Value
    moments: Moments
    backward: Callable[[Value], Gradients]


def batch_norm(
    writer: GraphWriter,
    x: Value,
    scale: Value,
    shift: Value,
    *,
    channels: int,
    over: tuple[int, ...],
) -> Normalised:
    """Each channel normalised, scaled and shifted.

    Args:
        writer: gets the operations.
        x: a map whose second dimension are the channels.
        scale: (channels,).
        shift: (channels,).
        channels: their number.
        over: the map's other dimensions.
    """
    zeros = writer.constant(np.zeros(channels))

    def over_pixels(x: Value) -> Value:
        return writer.add("ReduceMean", x, axes=over, keepdims=0)

    def normalise(x: Value, scale: Value, shift: Value, mean: Value) -> Value:
        inputs = (x, scale, shift, mean, variance)
        return writer.add("BatchNormalization", *inputs, epsilon=NORM_EPSILON)

    mean = writer.add("ReduceMean", x, axes=over, keepdims=1)
    centred = writer.add("Sub", x, mean)
    variance = over_pixels(writer.add("Mul", centred, centred))

    def backward(gradient: Value) -> Gradients:
        # With h = centred / deviation, the normalised map, it is
        # scale / deviation * (gradient - mean(gradient) - h * mean(gradient * h)).
        offset = over_pixels(gradient)
        product = over_pixels(writer.add("Mul", gradient, centred))
        slope = writer.add("Div", product, padded_variance(writer, variance))
        along = normalise(centred, writer.add("Mul", scale, slope), zeros, zeros)
        rest = writer.add("Sub", normalise(gradient, scale, zeros, offset), along)
        pixels = writer.add("Div", writer.elements(gradient), writer.constant(channels))
        of_h = writer.add("Div", product, deviation(writer, variance))
        return Gradients(rest, *(writer.add("Mul", m, pixels) for m in (of_h, offset)))

    output = normalise(centred, scale, shift, zeros)
    moments = Moments(writer.add("Reshape", mean, writer.ints(-1)), variance)
    return Normalised(output, moments, backward)


def padded_variance(writer: GraphWriter, variance: Value) -> Value:
    """What batch-norm divides by, squared."""
    return writer.add("Add", variance, writer.constant(NORM_EPSILON))


def deviation(writer: GraphWriter, variance: Value) -> Value:
    """What batch-norm divides by."""
    return writer.add("Sqrt", padded_variance(writer, variance))
