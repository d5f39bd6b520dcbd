"""The latency predictor of Once-for-All (Cai et al. 2020), as H-Meta-NAS re-made it for table 3.

The choices of a network, one-hot, go through three hidden layers of 400 with ReLU to one number,
which is trained with Adam to be the latency's standard score. What the papers leave open is chosen
in the predictor's favour: a tenth of the networks is held out, and the weights that predict it best
are kept.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metanas.spaces import Genes, SearchSpace

Times = NDArray[np.float64]

HIDDEN = (400, 400, 400)
EPOCHS = 300
BATCH = 64
LEARNING_RATE = 1e-3
HELD_OUT = 0.1


class OFAPredictor:
    """Learns the latency of a space's networks from some that were measured.

    Args:
        space: whose genes it reads.
        seed: of the weights, the order and what is held out.
    """

    def __init__(self, space: SearchSpace[Any], *, seed: int) -> None:
        self.space = space
        self.generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            widths = (sum(space.cardinalities), *HIDDEN)
            layers: list[nn.Module] = []
            for width_in, width_out in pairwise(widths):
                layers += [nn.Linear(width_in, width_out), nn.ReLU()]
            self.network = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
        self.mean_ms, self.deviation_ms = 0.0, 1.0

    def fit(self, genes: Genes, latency_ms: Times) -> None:
        """Train on measured networks.

        Args:
            genes: (networks, genes).
            latency_ms: (networks,).
        """
        self.mean_ms, self.deviation_ms = float(latency_ms.mean()), float(latency_ms.std())
        inputs = one_hot(self.space, genes)
        scores = torch.from_numpy((latency_ms - self.mean_ms) / self.deviation_ms).float()
        order = torch.randperm(len(scores), generator=self.generator)
        count = max(1, round(HELD_OUT * len(scores)))
        held_out, rest = order[:count], order[count:]
        optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
        least, best = np.inf, self.network.state_dict()
        for _ in range(EPOCHS):
            shuffled = rest[torch.randperm(len(rest), generator=self.generator)]
            for batch in shuffled.split(BATCH):  # type: ignore[no-untyped-call]
                optimizer.zero_grad()
                self._loss(inputs[batch], scores[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            schedule.step()
            with torch.no_grad():
                loss = float(self._loss(inputs[held_out], scores[held_out]))
            if loss < least:
                least, best = loss, copy.deepcopy(self.network.state_dict())
        self.network.load_state_dict(best)

    def predict(self, genes: Genes) -> Times:
        """Latency in milliseconds, (networks,)."""
        with torch.no_grad():
            scores: Times = self.network(one_hot(self.space, genes)).squeeze(1).double().numpy()
        return scores * self.deviation_ms + self.mean_ms

    def _loss(self, inputs: Tensor, scores: Tensor) -> Tensor:
        return F.mse_loss(self.network(inputs).squeeze(1), scores)


def one_hot(space: SearchSpace[Any], genes: Genes) -> Tensor:
    """(networks, sum of the cardinalities); all zeros for a layer that a network does not have."""
    active = space.active(genes)
    columns = [
        np.eye(count, dtype=np.float32)[genes[:, gene]] * active[:, gene, None]
        for gene, count in enumerate(space.cardinalities)
    ]
    return torch.from_numpy(np.concatenate(columns, axis=1))
