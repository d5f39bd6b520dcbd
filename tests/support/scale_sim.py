"""The closed form beside SCALE-Sim itself."""

from dataclasses import replace
from importlib import util

import pytest

from metanas_simulators import ScaleSim, SystolicArray

NEEDS_SCALE_SIM = pytest.mark.skipif(
    util.find_spec("scalesim") is None, reason="needs scalesim: pip install 'metanas[scalesim]'"
)


def differences(accelerator, convolutions):
    """Pairs of what the simulator and the closed form say, where they differ in anything."""
    simulator = ScaleSim(accelerator)
    computed = SystolicArray(accelerator).simulate(convolutions)
    pairs = []
    for convolution, form in zip(convolutions, computed, strict=True):
        found = simulator.simulate(convolution)
        # its mean over the folds is a sum of rounded shares
        share = pytest.approx(found.mapping_efficiency, rel=1e-12)
        assert form.mapping_efficiency == share, convolution
        alike = replace(
            form,
            origin=found.origin,
            dram=found.dram,
            mapping_efficiency=found.mapping_efficiency,
        )
        if alike != found:
            pairs.append((found, form))
    return pairs
