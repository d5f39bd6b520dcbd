"""Networks such as a search would choose."""

import numpy as np
import pytest

from metanas.errors import MissingRowsError
from metanas.profiling import LatencyTable, as_searched
from metanas.profiling.table import CALL
from metanas.spaces import VGG9Space


def test_none_of_its_latency_does_more_work(table, space):
    chosen = as_searched(table, space, 12, np.random.default_rng(0))
    assert len(np.unique(chosen, axis=0)) == len(chosen) == 12
    latency_ms, macs = table.latency_ms(space, chosen), space.macs(chosen)
    random = space.sample(500, np.random.default_rng(1))
    random_ms, random_macs = table.latency_ms(space, random), space.macs(random)
    beaten = [
        (random_macs[random_ms <= mine_ms] > mine).mean()
        for mine_ms, mine in zip(latency_ms, macs, strict=True)
        if (random_ms <= mine_ms).any()
    ]
    assert np.mean(beaten) < 0.02
    assert latency_ms.max() > np.quantile(random_ms, 0.98)
    assert latency_ms.min() <= np.quantile(random_ms, 0.05)
    ratios = np.diff(np.log(np.sort(latency_ms)))
    assert ratios.max() < 3 * np.log(latency_ms.max() / latency_ms.min()) / len(chosen)


def test_one_seed_gives_one_choice(table, space):
    first, second = (as_searched(table, space, 5, np.random.default_rng(4)) for _ in range(2))
    assert (first == second).all()


def test_networks_without_rows_are_passed_over(table, space):
    dear = [key for key in table.rows if "/k5/" in key]
    rows = {key: row for key, row in table.rows.items() if key not in dear}
    chosen = as_searched(LatencyTable(table.header, rows), space, 8, np.random.default_rng(0))
    texts = [str(space.from_genes(row)) for row in chosen]
    assert len(texts) == 8
    assert not [text for text in texts if "k5" in text]
    alone = LatencyTable(table.header, {CALL.key: table.rows[CALL.key]})
    with pytest.raises(MissingRowsError, match="every network"):
        as_searched(alone, space, 8, np.random.default_rng(0))


class Few(VGG9Space):
    """Of which only three networks are ever drawn."""

    def sample(self, count, rng):
        return super().sample(3, np.random.default_rng(0))[rng.integers(0, 3, count)]


def test_a_space_of_few_networks_gives_them_all(table, space):
    few = Few(input_shape=space.input_shape, ways=5, global_expansion=False)
    chosen = as_searched(table, few, 10, np.random.default_rng(0))
    assert len(np.unique(chosen, axis=0)) == len(chosen) == 3
