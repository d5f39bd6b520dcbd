"""Which architectures are better in several respects at once: NSGA-II (Deb et al. 2002)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Objectives = NDArray[np.float64]
"""(architectures, objectives), each the less the better."""

Rows = NDArray[np.intp]


def ranking(objectives: Objectives) -> Rows:
    """All rows from the best to the worst.

    With one objective, by its value. With several, the Pareto front comes first, then the front
    of what is left, and so on; within a front those with the most room around them come first.
    """
    if objectives.shape[1] == 1:
        return objectives[:, 0].argsort(kind="stable")
    ranked: list[Rows] = []
    left = np.arange(len(objectives))
    while len(left):
        front = left[pareto_front(objectives[left])]
        by_room = (-crowding(objectives[front])).argsort(kind="stable")
        ranked.append(front[by_room])
        left = np.setdiff1d(left, front)
    return np.concatenate(ranked) if ranked else left


def pareto_front(objectives: Objectives) -> Rows:
    """Rows that no other one beats: better in something, and worse in nothing.

    They are in lexicographic order; equal rows are all of them there.
    """
    front: list[int] = []
    for row in np.lexsort(objectives.T[::-1]):  # none is beaten by a later one
        kept, candidate = objectives[front], objectives[row]
        beaten = (kept <= candidate).all(axis=1) & (kept < candidate).any(axis=1)
        if not beaten.any():
            front.append(int(row))
    return np.array(front, np.intp)


def crowding(objectives: Objectives) -> NDArray[np.float64]:
    """Room around each row of a front: the sum over the objectives of the gap between its two
    neighbours, as a share of the objective's range. The ends have infinite room.
    """
    room = np.zeros(len(objectives))
    for values in objectives.T:
        order = values.argsort(kind="stable")
        ordered = values[order]
        spread = ordered[-1] - ordered[0] if len(ordered) else 0.0
        room[order[:1]] = room[order[-1:]] = np.inf
        if spread > 0:
            room[order[1:-1]] += (ordered[2:] - ordered[:-2]) / spread
    return room
