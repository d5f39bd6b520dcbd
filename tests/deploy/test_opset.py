"""Which opset a device's file is written in, and that each computes the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from metanas.deploy import NEWEST_OPSET, OLDEST_OPSET, OPSET, choose_opset
from metanas.deploy.opset import convert_opset, newest_opset, opset_of
from metanas.errors import ExportError

RUN_HERE = min(NEWEST_OPSET, newest_opset(onnxruntime.__version__))


def session_of(proto):
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def one_operator(operator, opset, **attributes):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    graph = helper.make_graph([node], "graph", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


@pytest.mark.parametrize(
    ("version", "opset"),
    [
        ("1.8.0", 14),
        ("1.10.0", 15),
        ("1.14.1", 18),
        ("1.15.1", 18),
        ("1.16.3", 19),
        ("1.17.3 4 threads", 20),
        ("1.20.1", 21),
        ("1.22.1", 22),
        ("1.23.2", 23),
        ("1.24.4", 25),
        ("1.31.1", 26),
        ("1.99.0.dev20300101", 26),
        ("2.0", 26),
    ],
)
def test_newest_opset_of_a_release(version, opset):
    assert newest_opset(version) == opset


@pytest.mark.parametrize("version", ["1.7.0", "0.5", "", "unknown", "2"])
def test_a_runtime_that_is_too_old_or_unknown_is_one_clear_error(version):
    with pytest.raises(ExportError, match="is not known to run opset 14") as raised:
        newest_opset(version)
    assert "--opset" in raised.value.hint


@given(st.integers(8, 60), st.integers(8, 60), st.integers(0, 9))
def test_a_newer_runtime_runs_no_less(first, second, patch):
    older, newer = (newest_opset(f"1.{minor}.{patch}") for minor in sorted((first, second)))
    assert older <= newer


def test_this_runtime_runs_what_the_table_says():
    model = convert_opset(one_operator("Relu", OPSET), RUN_HERE)
    x = np.array([[-1.0, 2.0]], np.float32)
    assert session_of(model).run(None, {"x": x})[0].tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize(
    ("wanted", "version", "chosen"),
    [(None, "1.12.1", 17), (None, "1.31.1", OPSET), (14, "1.31.1", 14), (22, "1.22.0", 22)],
)
def test_what_is_wanted_is_chosen_else_what_runs(wanted, version, chosen):
    assert choose_opset(wanted, runtime_version=version, device="pi4") == chosen


def test_an_opset_that_the_device_cannot_run_is_refused():
    with pytest.raises(ExportError, match=r"pi4 cannot run opset 22.*1\.20\.1 runs up to opset 21"):
        choose_opset(22, runtime_version="1.20.1", device="pi4")


@pytest.mark.parametrize("opset", [OLDEST_OPSET - 1, NEWEST_OPSET + 1, 0, -1])
def test_an_opset_that_nothing_is_written_in_is_refused(opset, model):
    with pytest.raises(ExportError, match=f"no network can be written in opset {opset}"):
        choose_opset(opset, runtime_version="1.31.1", device="pi4")
    with pytest.raises(ExportError, match=f"no network can be written in opset {opset}"):
        convert_opset(onnx.load_model_from_string(model), opset)


@pytest.mark.parametrize("opset", range(OLDEST_OPSET, RUN_HERE + 1))
def test_every_opset_computes_the_same_and_names_the_lowest_ir_version(model, opset):
    given_proto = onnx.load_model_from_string(model)
    images = np.random.default_rng(0).standard_normal((3, 1, 28, 28), np.float32)
    expected = session_of(given_proto).run(None, {"images": images})[0]
    converted = convert_opset(onnx.load_model_from_string(model), opset)
    onnx.checker.check_model(converted, full_check=True)
    assert opset_of(converted) == opset
    assert converted.ir_version == helper.find_min_ir_version_for(converted.opset_import)
    assert [tensor.name for tensor in converted.graph.initializer] == [
        tensor.name for tensor in given_proto.graph.initializer
    ]
    given_output = session_of(converted).run(None, {"images": images})[0]
    np.testing.assert_allclose(given_output, expected, atol=1e-6 * np.ptp(expected))


def test_the_usual_file_is_read_by_runtimes_that_run_its_opset(model):
    """IR version 10, which the exporter writes, needs onnxruntime 1.18; opset 18 does not."""
    proto = onnx.load_model_from_string(model)
    assert (opset_of(proto), proto.ir_version) == (18, 8)


def test_an_operator_that_an_opset_lacks_is_one_clear_error():
    with pytest.raises(ExportError, match=r"cannot be written in opset 14: .*Gelu") as raised:
        convert_opset(one_operator("Gelu", 20), 14)
    assert "\n" not in str(raised.value)
