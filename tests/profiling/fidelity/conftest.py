import numpy as np
import pytest

from metanas.devices import ModelRun
from metanas_agent.timer import TimerSettings


@pytest.fixture
def network_device(weathered, device, space, scale):
    """A computed device in bad weather that can run whole networks, whose time is their size."""
    like = next(device.measure([space.all_layers[0]], TimerSettings()))

    class NetworkDevice(weathered):
        def run_model(self, model, inputs, settings):
            assert inputs.shape == (1, *space.input_shape)
            if len(self.asked) == self.dies_after:
                raise ConnectionResetError
            self.asked.append("network")
            row = scale(like, len(model) / like.median_ms, key="sha256", source="measured")
            row = self.weather(len(self.asked), row)
            return ModelRun(np.zeros((1, 5), np.float32), row, None)

    def make(**weather):
        return NetworkDevice(device, **weather)

    return make
