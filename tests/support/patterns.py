"""Small images that are learned in a moment: for what depends on learning, not on the images."""

import numpy as np

from metanas.data import ImageSet

CLASSES, IMAGES, SIDE = 12, 6, 12


def make_patterns(split="train"):
    """Twelve classes of six images of 1x12x12: a random pattern each, plus noise."""
    rng = np.random.default_rng(5)
    pattern = np.kron(rng.uniform(0, 255, (CLASSES, 1, 1, 4, 4)), np.ones((3, 3)))
    noisy = pattern + rng.normal(0, 70, (CLASSES, IMAGES, 1, SIDE, SIDE))
    return ImageSet(
        images=noisy.clip(0, 255).astype(np.uint8).reshape(-1, 1, SIDE, SIDE),
        offsets=np.arange(CLASSES + 1) * IMAGES,
        classes=tuple(f"pattern {index}" for index in range(CLASSES)),
        split=split,
        mean=(0.5,),
        std=(0.3,),
    )
