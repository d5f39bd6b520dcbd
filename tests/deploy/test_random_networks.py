"""Random architectures of every space export, check and agree; the benchmark does 500 of them."""

from __future__ import annotations

import pytest

from metanas.spaces import SPACES
from support.random_exports import try_network


def check(number):
    outcome = try_network(1, number)
    assert not outcome.failure, outcome
    assert outcome.difference <= 1e-4
    assert outcome.top1 == 1


@pytest.mark.parametrize("number", range(len(SPACES)))
def test_a_random_network_of_every_space_exports_and_agrees(number):
    check(number)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(SPACES), 40))
def test_random_networks_export_and_agree(number):
    check(number)
