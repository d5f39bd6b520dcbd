"""Images for a model: checked against what it takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metanas_agent.errors import MeasurementFailedError
from metanas_agent.wire import Tensor

_IMAGE_RANK = 4


def images_for(wanted: Sequence[object], inputs: Tensor) -> NDArray[np.float32]:
    """The images as an array, (images, channels, height, width).

    Args:
        wanted: sides of the model's input; what is no number is free.
        inputs: the images, which the model will be given one at a time.

    Raises:
        MeasurementFailedError: the model takes others.
    """
    fits = len(wanted) == len(inputs.shape) == _IMAGE_RANK and all(
        not isinstance(side, int) or side == given
        for side, given in zip(wanted, (1, *inputs.shape[1:]), strict=True)
    )
    if not fits:
        raise MeasurementFailedError(
            f"the model takes {list(wanted)}, the images are {list(inputs.shape)}",
            hint="give images of the size that the model was exported for, batch size 1",
        )
    return np.frombuffer(inputs.data, "<f4").reshape(inputs.shape)
