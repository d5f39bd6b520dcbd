"""Calls that find nothing of theirs in the processor's caches."""

from __future__ import annotations

from collections.abc import Callable

from metanas_agent.sampler import Sampler

USUAL_CACHE_BYTES = 16 * 1024**2
"""Taken where the system does not tell: more than boards have."""

_TIMES = 2  # the cache's size; caches do not throw out strictly what was used longest ago
_PIECE_BYTES = 64 * 1024  # longer copies go past the caches


class CacheFiller:
    """Fills the caches with something else.

    Args:
        cache_bytes: size of the last-level cache.
    """

    def __init__(self, cache_bytes: int) -> None:
        size_bytes = -(-_TIMES * cache_bytes // _PIECE_BYTES) * _PIECE_BYTES
        self.memory = bytearray(size_bytes)
        self._pieces = (bytes(_PIECE_BYTES), bytes([1]) * _PIECE_BYTES)

    def __call__(self) -> None:
        """Write all of the memory, other values than last time."""
        piece = self._pieces[0]
        for begin in range(0, len(self.memory), _PIECE_BYTES):
            self.memory[begin : begin + _PIECE_BYTES] = piece
        self._pieces = self._pieces[::-1]


def cold(sampler: Sampler, fill_caches: Callable[[], object]) -> Sampler:
    """A sampler whose calls are made one at a time, each behind caches that were just filled."""

    def sample(repeats: int) -> float:
        elapsed_ms = 0.0
        for _ in range(repeats):
            fill_caches()
            elapsed_ms += sampler(1)
        return elapsed_ms

    return sample
