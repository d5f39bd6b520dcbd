"""What is said of predictions beside measurements."""

import numpy as np
import pytest

from metanas.profiling.fidelity.additivity import additivity, kendall_tau


def test_additivity_counts():
    measured_ms = np.array([1.0, 2.0, 4.0, 8.0])
    found = additivity(measured_ms * [1.0, 1.04, 0.92, 1.2], measured_ms)
    assert found.bias == pytest.approx(0.04)
    assert found.mean_error == pytest.approx(0.08)
    assert found.worst_error == pytest.approx(0.2)
    assert (found.within_5, found.within_10) == (0.5, 0.75)
    assert found.tau == 1


def test_kendall_tau_against_counting_pairs():
    rng = np.random.default_rng(2)
    first, second = rng.permutation(9).astype(float), rng.permutation(9).astype(float)
    pairs = [(i, j) for i in range(9) for j in range(i)]
    agree = sum((first[i] < first[j]) == (second[i] < second[j]) for i, j in pairs)
    assert kendall_tau(first, second) == pytest.approx((2 * agree - len(pairs)) / len(pairs))
