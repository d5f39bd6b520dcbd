"""ModelCard: what an exported file says of itself, so that it can be used without its author."""

from __future__ import annotations

import json
from dataclasses import dataclass

from metanas.provenance import provenance

FEEDING = (
    "picture: colours as said, resized to height x width whatever its sides, antialiased, and "
    "inverted if said; images: float32 (batch, channels, height, width), each pixel scaled to "
    "0..1 and normalised as (pixel - mean) / std a channel; logits: one number a class, the "
    "largest is the answer"
)
RESIZE = "lanczos"
"""Filter that pictures of another size are resized by, as `metanas.data` does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """How to feed an exported network, and how to read what it answers.

    Args:
        architecture: its text, as its space prints it.
        dataset: name of the data that its classes come from.
        labels: name of each class, in the order of the logits.
        mean: a channel, subtracted from pixels that were scaled to 0..1.
        std: a channel, divides what is left.
        inverted: whether the network was trained on negatives: 1 minus the picture's pixels.
        seed: of the run that made the network.
    """

    architecture: str
    dataset: str
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    inverted: bool = False
    seed: int | None = None

    def to_metadata(self, input_shape: tuple[int, int, int]) -> dict[str, str]:
        """ONNX metadata properties: plain text, and JSON where a value is a list."""
        return {
            "architecture": self.architecture,
            "dataset": self.dataset,
            "ways": str(len(self.labels)),
            "labels": json.dumps(self.labels, ensure_ascii=False),
            "input_shape": json.dumps(input_shape),
            "colours": "grey" if input_shape[0] == 1 else "rgb",
            "resize": RESIZE,
            "inverted": json.dumps(self.inverted),
            "value_range": json.dumps([0.0, 1.0]),
            "mean": json.dumps(self.mean),
            "std": json.dumps(self.std),
            "preprocessing": FEEDING,
            "provenance": json.dumps(provenance(seed=self.seed), ensure_ascii=False),
        }
