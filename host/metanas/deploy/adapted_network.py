"""AdaptedNetwork: one task's exported network, and what the host makes of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metanas.deploy.agreement import Logits
from metanas.deploy.export import input_shape_of, load_model
from metanas.errors import ExportError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdaptedNetwork:
    """One task's exported network and what the host computed with it.

    Args:
        model: the ONNX file.
        images: (images, channels, height, width), float32, normalised as in training.
        labels: (images,), the right class of each, -1 where it is not known.
        host_logits: (images, ways), the host's outputs for `images`.
    """

    model: bytes
    images: NDArray[np.float32]
    labels: NDArray[np.integer]
    host_logits: Logits

    def check(self) -> None:
        """Refuse what cannot be verified, before a device is troubled with it.

        Raises:
            ExportError: the model is broken, or the arrays do not fit it or one another.
        """
        expected = input_shape_of(load_model(self.model))
        given = self.images.shape[1:]
        if len(given) != 3 or any(e not in (0, g) for e, g in zip(expected, given, strict=True)):
            raise ExportError(
                f"the model takes images of {shape_text(expected)}, given are {shape_text(given)}",
                hint="verify with the data set and input size that it was exported for",
            )
        count = len(self.images)
        if not count or self.labels.shape != (count,) or len(self.host_logits) != count:
            raise ExportError(
                f"{count} images, {len(self.labels)} labels and {len(self.host_logits)} rows "
                "of host logits",
                hint="give at least one image, and a label and a row of logits for each",
            )
        if self.host_logits.ndim != 2 or not np.isfinite(self.host_logits).all():
            raise ExportError(
                "the host's own logits are not finite numbers (images, ways)",
                hint="train the network again",
            )


def shape_text(sizes: Sequence[int]) -> str:
    """Such as `1x28x28`; `?` where a size is free."""
    return "x".join(str(size) if size else "?" for size in sizes)
