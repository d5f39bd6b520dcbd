import numpy as np

from metanas_agent.cold_cache import CacheFiller, cold
from metanas_agent.sampler import clocked
from metanas_agent.system import System


def test_every_byte_of_twice_the_cache_is_written():
    cache_bytes = System().last_cache_bytes() or 2**20
    fill = CacheFiller(cache_bytes)
    values = np.frombuffer(fill.memory, np.uint8)
    assert len(values) >= 2 * cache_bytes
    seen = []
    for _ in range(3):
        fill()
        seen.append(values[0])
        assert (values == values[0]).all()
    assert seen[0] == seen[2] != seen[1]


def test_each_call_is_made_behind_filled_caches():
    asked, filled = [], []

    def sampler(repeats):
        asked.append((repeats, len(filled)))
        return 2.0

    assert cold(sampler, lambda: filled.append(None))(3) == 6.0
    assert asked == [(1, 1), (1, 2), (1, 3)]


def test_filling_is_not_in_the_time():
    now_ns = 0

    def fill():
        nonlocal now_ns
        now_ns += 10**9

    assert cold(clocked(lambda: None, clock_ns=lambda: now_ns), fill)(3) == 0.0
