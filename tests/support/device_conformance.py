"""What every device must do. A new `Device` subclasses this and gives a `device` fixture."""

from itertools import islice

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from metanas.devices import DeviceDescription
from metanas.errors import MeasurementFailedError, UnsupportedError
from metanas_agent.finding import FINDING_VERDICTS
from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer, LayerSpec
from metanas_agent.measurement import SOURCES, VERDICTS, Measurement
from metanas_agent.timer import TimerSettings

QUICK = TimerSettings(budget_ms=2.0, min_samples=6, interval=0.5, sample_ms=0.05)


class DeviceConformance:
    runs_models = True
    can_be_examined = True
    free: tuple[type[LayerSpec], ...] = ()
    """Kinds of layers that cost nothing there: what the device computes leaves them out."""
    layers = (
        ConvLayer(1, 12, 12, out_channels=8, kernel=3, activation="relu6", pool=2),
        ConvLayer(8, 6, 6, out_channels=4, kernel=5, stride=2, activation="selu"),
        ConvLayer(4, 3, 3, out_channels=4, kernel=1, activation="none"),
        AddLayer(4, 3, 3, activation="leakyrelu", pool=2),
        HeadLayer(4, 3, 3, pool=2, ways=5),
        EmptyLayer(4, 4, 4),
    )

    @pytest.fixture
    def device(self):
        raise NotImplementedError("give the device to test")

    @pytest.fixture
    def images(self):
        return np.random.default_rng(0).standard_normal((4, 2, 3, 3), np.float32)

    def test_describes_itself(self, device):
        description = device.describe()
        assert isinstance(description, DeviceDescription)
        assert description.name == device.name
        assert description.source in SOURCES
        assert description.cores >= 1
        assert description.runtimes
        assert description.agent_version
        assert device.describe() == description

    def test_measures_every_layer_in_order(self, device):
        rows = list(device.measure(self.layers, QUICK))
        assert [row.key for row in rows] == [layer.key for layer in self.layers]
        description = device.describe()
        for layer, row in zip(self.layers, rows, strict=True):
            assert row.source == description.source
            assert row.verdict in VERDICTS
            if isinstance(layer, self.free):
                assert row.low_ms == row.median_ms == row.high_ms == 0
            else:
                assert 0 < row.low_ms <= row.median_ms <= row.high_ms
            assert row.runtime in description.runtimes
            assert Measurement.from_dict(row.to_dict()) == row

    def test_more_work_takes_longer(self, device):
        small = ConvLayer(4, 4, 4, out_channels=4, kernel=1)
        large = ConvLayer(128, 28, 28, out_channels=128, kernel=5)
        times = [row.median_ms for row in device.measure([small, large], QUICK)]
        assert times[0] < times[1] / 10

    def test_the_same_layer_may_be_asked_for_twice(self, device):
        rows = list(device.measure(self.layers[:1] * 3, QUICK))
        assert len(rows) == 3

    def test_no_layers_give_no_rows(self, device):
        assert list(device.measure([], QUICK)) == []

    def test_rows_come_one_by_one_and_can_be_stopped(self, device):
        rows = device.measure(self.layers * 100, QUICK)
        taken = list(islice(rows, 3))
        rows.close()
        assert [row.key for row in taken] == [layer.key for layer in self.layers[:3]]
        assert len(list(device.measure(self.layers, QUICK))) == len(self.layers)

    def test_runs_a_model_image_by_image(self, device, images):
        if not self.runs_models:
            with pytest.raises(UnsupportedError):
                device.run_model(sum_model(), images, QUICK)
            return
        run = device.run_model(sum_model(), images, QUICK)
        np.testing.assert_allclose(run.outputs, images.sum((2, 3)), rtol=1e-5, atol=1e-5)
        assert run.outputs.dtype == np.float32
        assert run.latency.median_ms > 0
        assert run.peak_memory_bytes is None or run.peak_memory_bytes > 0

    def test_a_broken_model_is_a_failed_measurement(self, device, images):
        with pytest.raises((MeasurementFailedError, UnsupportedError)) as caught:
            device.run_model(b"not a model", images, QUICK)
        assert caught.value.hint
        assert list(device.measure(self.layers[:1], QUICK))

    def test_is_examined_or_says_that_it_cannot_be(self, device):
        if not self.can_be_examined:
            with pytest.raises(UnsupportedError) as caught:
                device.examine()
            assert caught.value.hint
            return
        findings = device.examine()
        assert len({finding.check for finding in findings}) == len(findings) > 10
        assert {finding.verdict for finding in findings} <= set(FINDING_VERDICTS)
        assert all(finding.found for finding in findings)

    def test_close_can_be_repeated(self, device):
        device.close()
        device.close()


def sum_model():
    """Sums each channel: images (N, 2, 3, 3) to (N, 2), computed as a depth-wise convolution."""
    ones = helper.make_tensor("ones", TensorProto.FLOAT, (2, 1, 3, 3), np.ones(18, np.float32))
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "ones"], ["sums"], group=2),
            helper.make_node("Flatten", ["sums"], ["output"]),
        ],
        "sum",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 2, 3, 3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 2])],
        [ones],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
