"""Classifier: a model file that knows the names of its classes and how images must be prepared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metanas_agent.errors import InvalidModelError
from metanas_agent.learning.feeding import Feeding, labels_of
from metanas_agent.learning.pictures import Images, read_images
from metanas_agent.learning.session import Floats, load_model


class Classifier:
    """What `learn` and `metanas export` write.

    Args:
        model: a file, or the bytes of one.
        name: for errors.

    Raises:
        InvalidModelError: it is no classifier of images, or does not say how to feed it.
    """

    def __init__(self, model: Path | bytes, *, name: str) -> None:
        self._model = load_model(model, name=name)
        inputs = self._model.inputs
        if len(inputs) != 1:
            raise InvalidModelError(
                f"{name} takes {', '.join(inputs) or 'nothing'}, and a classifier takes one image",
                hint="give a file of `metanas-agent learn`, or a model.onnx",
            )
        ((self._input, sides),) = inputs.items()
        self.feeding = Feeding.of(self._model.metadata, sides, where=name)
        self.labels = labels_of(self._model.metadata, where=name)

    def classify(self, path: Path) -> dict[str, float]:
        """The probability of each class, as the model sees it, the likeliest first.

        Raises:
            InvalidImageError: the picture cannot be read.
            InvalidModelError: the model cannot be run.
        """
        (row,) = self.probabilities(read_images([path], self.feeding))
        order = np.argsort(-row, kind="stable")
        return {self.labels[place]: float(row[place]) for place in order}

    def probabilities(self, images: Images) -> Floats:
        """(images, ways); each image goes through the model by itself.

        Raises:
            InvalidModelError: the model cannot be run, or answers with other than a logit a class.
        """
        return _softmax(np.concatenate([self._logits(image[None]) for image in images]))

    def accuracy(self, images: Images, classes: Sequence[int]) -> float:
        """Share of the images that it puts into the right class."""
        return float((self.probabilities(images).argmax(1) == np.asarray(classes)).mean())

    def _logits(self, image: Images) -> Floats:
        (logits, *_) = self._model.run({self._input: image}).values()
        if logits.shape != (1, len(self.labels)) or not np.isfinite(logits).all():
            raise InvalidModelError(
                f"{self._model.name} answers with {logits.shape} numbers, or not with finite "
                f"ones; it has {len(self.labels)} labels",
                hint="learn again, or export the model again",
            )
        return logits


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: Floats = powers / powers.sum(1, keepdims=True)
    return shares
