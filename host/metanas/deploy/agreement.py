"""Do two runtimes compute the same logits?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
"""(images, ways)."""

TOLERANCE = 1e-4
"""Largest difference between two runtimes, as a share of the logits' range, whatever the network.

`tolerance_of` a model is narrower, or wider where it is quantised. A float32 has a relative step of
6e-8; summing some thousand products a pixel in another order gives about 1e-6 behind four layers.
What is wrong (a padding, a weight, an activation) shows at 1e-2. This stands between the two.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far a device's logits are from the host's, over all networks that were compared.

    A share is a difference divided by the range (largest minus smallest) of that network's logits
    on the host. Within the tolerance, top-1 can only differ where two classes tie on the host.

    Args:
        networks: networks that were compared.
        images: images that went through them, in all.
        largest_difference: of two logits.
        largest_share: the largest share.
        p999_share: 99.9th percentile of the shares.
        top1: share of the images on which both choose the same class.
        tolerance: the largest share that is allowed.
    """

    networks: int
    images: int
    largest_difference: float
    largest_share: float
    p999_share: float
    top1: float
    tolerance: float

    @property
    def p999_tolerance(self) -> float:
        """What one logit of thousands may reach, a thousandth of them may not."""
        return self.tolerance / 2

    @property
    def within(self) -> bool:
        """Whether neither the largest nor the 99.9th percentile is further off than allowed."""
        return self.largest_share <= self.tolerance and self.p999_share <= self.p999_tolerance

    @property
    def disagreements(self) -> int:
        """Images on which the two choose different classes."""
        return round((1 - self.top1) * self.images)


def compare(pairs: Sequence[tuple[Logits, Logits]], *, tolerance: float = TOLERANCE) -> Agreement:
    """Compare (host, device) logits, one pair a network. All values must be finite."""
    differences = [np.abs(host - device).ravel() for host, device in pairs]
    shares = np.concatenate(
        [d / _range(host) for d, (host, _) in zip(differences, pairs, strict=True)]
    )
    same = np.concatenate([host.argmax(1) == device.argmax(1) for host, device in pairs])
    return Agreement(
        networks=len(pairs),
        images=len(same),
        largest_difference=float(max(d.max() for d in differences)),
        largest_share=float(shares.max()),
        p999_share=float(np.percentile(shares, 99.9)),
        top1=float(same.mean()),
        tolerance=tolerance,
    )


def _range(logits: Logits) -> float:
    """Never 0, so that equal constant logits differ by a share of 0."""
    return max(float(np.ptp(logits)), float(np.finfo(np.float32).tiny))
