"""Few-shot accuracy of what a runtime answered, with its interval over episodes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metanas.deploy.agreement import Logits

_Z_95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeAccuracy:
    """Mean over episodes.

    Args:
        accuracy: share of query images classified rightly, 0 to 1.
        interval: half width of the 95% confidence interval of the mean; None of one episode.
        episodes: number of episodes.
    """

    accuracy: float
    interval: float | None
    episodes: int


def accuracy_of(answers: Iterable[tuple[Logits, NDArray[np.integer]]]) -> EpisodeAccuracy:
    """From each episode's logits (images, ways) and labels (images,); at least one episode."""
    shares = np.array([float((logits.argmax(1) == labels).mean()) for logits, labels in answers])
    count = len(shares)
    interval = float(_Z_95 * shares.std(ddof=1) / math.sqrt(count)) if count > 1 else None
    return EpisodeAccuracy(accuracy=float(shares.mean()), interval=interval, episodes=count)
