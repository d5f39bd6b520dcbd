"""What memory a network took on a device, apart from the runtime that ran it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from metanas.devices.device import Device
from metanas.errors import MeasurementFailedError, NativeError
from metanas_agent.timer import TimerSettings

MEMORY_FACTOR = 8
"""A runtime may take this many times what the search counted.

Loading holds the file, its parsed form, the weights and their re-laid copy at once, and running
rounds maps up to blocks: ONNX Runtime takes 1 to 6 times the counted bytes.
"""

MEMORY_SLACK_BYTES = 4 * 1024**2
"""Code pages that only a real network touches, and what a process's size varies by."""

_OLD_OPSET, _OLD_IR = 13, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """Peak resident memory of the process that ran a network.

    Args:
        process_bytes: largest over the networks.
        runtime_bytes: the same of a process that ran a network of nothing but a mean, with as many
            images; None if the device cannot run that.
    """

    process_bytes: int
    runtime_bytes: int | None

    @property
    def network_bytes(self) -> int | None:
        """What the network itself took."""
        if self.runtime_bytes is None:
            return None
        return max(self.process_bytes - self.runtime_bytes, 0)


def largest_promised(memory_bytes: int) -> int:
    """What a network may take of which the search promised so much."""
    return MEMORY_FACTOR * memory_bytes + MEMORY_SLACK_BYTES


def runtime_memory(
    device: Device, images: NDArray[np.float32], settings: TimerSettings
) -> int | None:
    """Peak memory of the process with next to no network in it, None if that cannot be told."""
    try:
        return device.run_model(_mean_model(images.shape[1:]), images, settings).peak_memory_bytes
    except (MeasurementFailedError, NativeError):
        return None


def _mean_model(image_shape: tuple[int, ...]) -> bytes:
    """The mean of each channel, in words that every runtime knows."""
    channels = image_shape[0]
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("GlobalAveragePool", ["images"], ["means"]),
                helper.make_node("Flatten", ["means"], ["logits"]),
            ],
            "mean",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, *image_shape])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, channels])],
        ),
        opset_imports=[helper.make_opsetid("", _OLD_OPSET)],
        ir_version=_OLD_IR,
    )
    data: bytes = model.SerializeToString()
    return data
