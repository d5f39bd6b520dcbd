"""Quantising an exported network, and keeping it only if it wins."""

from __future__ import annotations

import dataclasses
import json
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest

from metanas.deploy import (
    AdaptedNetwork,
    Paired,
    QuantisableTask,
    quantise,
    read_trial,
    try_int8,
    write_trial,
)
from metanas.deploy.int8_head import with_convolutional_head
from metanas.deploy.int8_trial import Int8Trial
from metanas.devices.device import DeviceDescription
from metanas.errors import ExportError, MeasurementFailedError, RunFolderError, UnsupportedError
from metanas.profiling import network_model
from metanas.spaces import make_space
from metanas_agent.layers import ACTIVATIONS
from metanas_agent.timer import TimerSettings
from support.random_networks import INPUT_SHAPE

VGG9 = make_space("vgg9", input_shape=INPUT_SHAPE, ways=5)
SETTINGS = TimerSettings(budget_ms=20, seed=3)


def session(model, *, optimised=""):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.optimized_model_filepath = optimised
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(model, images):
    runner = session(model)
    (wanted,) = runner.get_inputs()
    return np.concatenate([runner.run(None, {wanted.name: image[None]})[0] for image in images])


def random_images(count=10, shape=INPUT_SHAPE, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *shape), np.float32)


@pytest.fixture(scope="module")
def quantised(model):
    return quantise(model, random_images())


def test_the_file_is_a_sound_model_with_the_same_ends(model, quantised):
    given, made = onnx.load_model_from_string(model), onnx.load_model_from_string(quantised)
    onnx.checker.check_model(made, full_check=True)
    assert [value.name for value in made.graph.input] == [v.name for v in given.graph.input]
    assert [value.name for value in made.graph.output] == [v.name for v in given.graph.output]
    assert len(quantised) < len(model)


def test_metadata_stays_and_says_int8(model, quantised):
    given, made = (
        {prop.key: prop.value for prop in onnx.load_model_from_string(file).metadata_props}
        for file in (model, quantised)
    )
    assert made == given | {"dtype": "int8"}


def test_it_computes_nearly_the_same(model, quantised):
    images = random_images(seed=1)
    expected, given = run(model, images), run(quantised, images)
    difference = np.abs(given - expected).max() / np.ptp(expected)
    assert 0 < difference < 0.05
    assert (given.argmax(1) == expected.argmax(1)).mean() >= 0.8


def test_weights_have_a_scale_a_channel_and_maps_one(quantised):
    model = onnx.load_model_from_string(quantised)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        image, weights = (made_by[name] for name in node.input[:2])
        assert stored[weights.input[0]].data_type == onnx.TensorProto.INT8
        assert list(stored[weights.input[1]].dims) == [stored[weights.input[0]].dims[0]]
        assert stored[image.input[2]].data_type == onnx.TensorProto.UINT8
        assert list(stored[image.input[1]].dims) == []


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_layer_runs_in_int8(activation, tmp_path):
    """Also those behind an activation that has no int8 form, and the classifier."""
    architecture = VGG9.parse(f"k3c16{activation}-k1c16{activation}")
    model = network_model(VGG9, architecture, seed=0)
    path = tmp_path / "optimised.onnx"
    session(quantise(model, random_images()), optimised=str(path))
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("QLinearConv") == 3
    assert operators.count("NhwcMaxPool") == 2
    assert operators.count("Transpose") == 2
    assert not {"Conv", "FusedConv", "Gemm", "MaxPool", "ReorderInput"} & set(operators)


def test_a_convolution_at_the_end_classifies_like_the_matrix_product(model):
    plain = onnx.load_model_from_string(model)
    other = with_convolutional_head(plain)
    assert [node.op_type for node in plain.graph.node][-2:] == ["Reshape", "Gemm"]
    assert [node.op_type for node in other.graph.node][-2:] == ["Conv", "Flatten"]
    onnx.checker.check_model(other, full_check=True)
    images = random_images()
    np.testing.assert_allclose(
        run(other.SerializeToString(), images), run(model, images), rtol=1e-4, atol=1e-5
    )


def test_another_end_stays_as_it_is():
    node = onnx.helper.make_node("Flatten", ["images"], ["logits"])
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("images", [1, 1, 2, 2]), ("logits", [1, 4]))
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "end", ends[:1], ends[1:]))
    assert with_convolutional_head(model) is model


def test_a_quantised_model_is_not_quantised_again(quantised):
    with pytest.raises(ExportError, match="quantised already"):
        quantise(quantised, random_images())


@pytest.mark.parametrize(
    "images",
    [
        random_images(shape=(1, 28, 27)),
        random_images(shape=(3, 28, 28)),
        random_images(count=0),
        np.zeros((28, 28), np.float32),
    ],
    ids=lambda images: str(images.shape),
)
def test_images_that_do_not_fit_are_refused(model, images):
    with pytest.raises(ExportError, match="calibration images of"):
        quantise(model, images)


def test_images_that_are_no_numbers_are_refused(model):
    images = random_images()
    images[0, 0, 0, 0] = np.nan
    with pytest.raises(ExportError, match="not finite"):
        quantise(model, images)


def test_what_is_no_model_is_refused():
    with pytest.raises(ExportError, match="not an ONNX model"):
        quantise(b"no model", random_images())


# The trial on a device.


@pytest.fixture(scope="module")
def tasks(module, model):
    """Seven tasks of one network, whose labels are what it says."""
    result = []
    for seed in range(7):
        images = random_images(12, seed=seed + 10)
        logits = run(model, images)
        network = AdaptedNetwork(
            model=model, images=images, labels=logits.argmax(1), host_logits=logits
        )
        result.append(QuantisableTask(network=network, support_images=images[:5]))
    return result


def is_int8(model):
    return b"QuantizeLinear" in model


@pytest.fixture
def make_int8_device(make_device):
    """A device that runs both files, and whose latencies are made up."""

    class Device(make_device):
        milliseconds = (2.0, 1.0)  # of float32 and of int8
        spoilt = staticmethod(lambda outputs: outputs)
        dtypes: ClassVar[dict[str, str]] = {}
        ran: list[str]

        def describe(self):
            return DeviceDescription(
                name=self.name,
                machine="x86_64",
                processor="",
                cores=1,
                system="",
                runtimes={"onnx": onnxruntime.__version__},
                source="measured",
                agent_version="",
                dtypes=self.dtypes,
            )

        def run_model(self, model, inputs, settings):
            quantised = is_int8(model)
            self.ran.append("int8" if quantised else "float32")
            result = super().run_model(model, inputs, settings)
            median = self.milliseconds[quantised] * (1 + 0.01 * len(self.ran))
            latency = dataclasses.replace(
                result.latency,
                **dict.fromkeys(("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"), median),
            )
            outputs = self.spoilt(result.outputs) if quantised else result.outputs
            return dataclasses.replace(result, outputs=outputs, latency=latency)

    def make(**attributes):
        device = Device()
        device.ran = []
        for name, value in attributes.items():
            setattr(device, name, value)
        return device

    return make


def tried(device, tasks, **options):
    return try_int8(
        device, tasks, name="found", architecture="k3c16relu", settings=SETTINGS, **options
    )


def test_what_the_device_did_with_both_files(make_int8_device, tasks):
    done = []
    trial, model = tried(make_int8_device(), tasks, on_tried=done.append)
    agreeing = trial.top1
    assert trial.loss.value == pytest.approx(1 - agreeing)
    assert trial.speed_up.value == pytest.approx(2, rel=0.02)
    assert trial.speed_up.low > 1.9
    assert trial.float32.accuracy.accuracy == 1
    assert trial.int8.accuracy.accuracy == pytest.approx(agreeing)
    assert trial.int8.size_bytes == len(model) < trial.float32.size_bytes
    assert trial.images == 7 * 12
    assert trial.kept == (trial.loss.high <= 0.01)
    assert is_int8(model)
    assert model == quantise(tasks[0].network.model, tasks[0].support_images)
    assert done == [1, 2, 3, 4, 5, 6, 7]


def test_they_take_turns(make_int8_device, tasks):
    device = make_int8_device()
    tried(device, tasks)
    assert device.ran == [*("float32", "int8", "int8", "float32") * 3, "float32", "int8"]


def test_int8_that_is_slower_is_rejected(make_int8_device, tasks):
    trial, _ = tried(make_int8_device(milliseconds=(1.0, 1.2)), tasks)
    assert not trial.kept
    assert any("not surely faster: 0.83 times" in reason for reason in trial.reasons)


def test_int8_that_errs_is_rejected(make_int8_device, tasks):
    trial, _ = tried(make_int8_device(spoilt=lambda outputs: -outputs), tasks)
    assert not trial.kept
    assert "int8 costs more than 1 points of accuracy" in trial.reasons[0]
    assert trial.loss.low > 0.5


def test_a_throttled_device_proves_nothing(make_int8_device, tasks):
    trial, _ = tried(make_int8_device(verdict="throttled"), tasks)
    assert trial.throttled == 14
    assert "14 of 14 runs were throttled" in trial.reasons


def test_few_tasks_say_too_little(make_int8_device, tasks):
    with pytest.raises(ExportError, match="5 tasks say too little"):
        tried(make_int8_device(), tasks[:5])


def test_a_device_without_int8_is_not_troubled(make_int8_device, tasks):
    device = make_int8_device(dtypes={"native": "float32"})
    with pytest.raises(
        UnsupportedError, match=r"no runtime of in-process has int8 \(native: float32"
    ):
        tried(device, tasks)
    assert device.ran == []


def test_impossible_outputs_are_refused(make_int8_device, tasks):
    device = make_int8_device(spoilt=lambda outputs: outputs * np.nan)
    with pytest.raises(MeasurementFailedError, match="no finite logits"):
        tried(device, tasks)


def make_trial(**changes):
    loss = Paired(value=0.002, low=-0.001, high=0.005)
    speed_up = Paired(value=2.0, low=1.8, high=2.2)
    side = {"latency_ms": 1.0, "size_bytes": 9, "peak_memory_bytes": None}
    accuracy = {"accuracy": 0.9, "interval": 0.01, "episodes": 20}
    values = {
        "device": "pi4",
        "name": "found",
        "architecture": "k3c16relu",
        "tasks": 20,
        "images": 100,
        "float32": side | {"accuracy": accuracy},
        "int8": side | {"accuracy": accuracy},
        "loss": dataclasses.asdict(loss),
        "speed_up": dataclasses.asdict(speed_up),
        "top1": 0.99,
        "throttled": 0,
    }
    return values | changes


def loaded(tmp_path, **changes) -> Int8Trial:
    path = tmp_path / "quantisation.json"
    path.write_text(json.dumps(make_trial(**changes)))
    return read_trial(path)


def test_the_verdict_is_on_the_whole_interval(tmp_path):
    assert loaded(tmp_path).kept
    unsure = loaded(tmp_path, loss={"value": 0.002, "low": -0.02, "high": 0.024})
    assert unsure.reasons == (
        "int8 may cost more than 1 points of accuracy: 0.20 (-2.00 to 2.40) over 20 tasks",
    )
    assert not loaded(tmp_path, speed_up={"value": 1.1, "low": 0.9, "high": 1.4}).kept


def test_a_trial_is_what_its_file_says(tmp_path, make_int8_device, tasks):
    trial, _ = tried(make_int8_device(), tasks)
    path = tmp_path / "quantisation.json"
    write_trial(path, trial)
    assert read_trial(path) == trial
    assert json.loads(path.read_text())["kept"] is trial.kept


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"device": 1}'])
def test_a_broken_file_is_said(tmp_path, text):
    path = tmp_path / "quantisation.json"
    path.write_text(text)
    with pytest.raises(RunFolderError, match=r"quantisation\.json"):
        read_trial(path)


def test_paired_comparisons():
    mean = Paired.mean([0.0, 0.1, 0.2, 0.1, 0.0, 0.2])
    assert mean.value == pytest.approx(0.1)
    assert mean.low < 0.1 < mean.high
    median = Paired.median([2.0, 2.1, 1.9, 2.0, 9.0, 2.05])
    assert (median.value, median.low, median.high) == pytest.approx((2.025, 1.9, 9.0))
