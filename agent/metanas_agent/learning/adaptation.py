"""AdaptationGraph: `adapt.onnx`, the inner loop as an ordinary model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metanas_agent.errors import InvalidModelError
from metanas_agent.learning.feeding import Feeding
from metanas_agent.learning.pictures import Images
from metanas_agent.learning.session import load_model
from metanas_agent.wire import Tensor

IMAGES, LABELS = "support_images", "support_labels"


class AdaptationGraph:
    """Turns a support set into the weights of a network that classifies it.

    Args:
        path: an ONNX file with the inputs `support_images` (images, channels, height, width) and
            `support_labels` (images, ways), one-hot. Its outputs have the names of weights.

    Raises:
        InvalidModelError: it is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._model = load_model(path, name=str(path))
        inputs = self._model.inputs
        if inputs.keys() != {IMAGES, LABELS}:
            raise InvalidModelError(
                f"{path} takes {', '.join(inputs) or 'nothing'}, not {IMAGES} and {LABELS}",
                hint="give the adapt.onnx that `metanas export` writes",
            )
        ways = inputs[LABELS][-1]
        if not isinstance(ways, int):
            raise InvalidModelError(
                f"{path} does not say how many classes it learns", hint="export it again"
            )
        self.ways: int = ways
        self.feeding = Feeding.of(self._model.metadata, inputs[IMAGES], where=str(path))

    def adapt(self, images: Images, classes: NDArray[np.intp]) -> dict[str, Tensor]:
        """The learned weights by name.

        Args:
            images: the support set.
            classes: (images,), the class of each, 0 to ways - 1.

        Raises:
            InvalidModelError: the graph cannot be run, or what it learns are no finite numbers.
        """
        one_hot = np.eye(self.ways, dtype=np.float32)[classes]
        weights = self._model.run({IMAGES: images, LABELS: one_hot})
        for name, values in weights.items():
            if not np.isfinite(values).all():
                raise InvalidModelError(
                    f"{self._model.name} learned weights {name!r} that are no finite numbers",
                    hint="look at the images: they may be nothing like those it was trained on",
                )
        return {
            name: Tensor(values.astype("<f4").tobytes(), values.shape)
            for name, values in weights.items()
        }
