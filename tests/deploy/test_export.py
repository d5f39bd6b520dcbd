from __future__ import annotations

import dataclasses
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from torch import nn

from metanas.deploy import export_onnx, replace_weights
from metanas.errors import ExportError
from support.random_networks import make_card, random_vgg9

OPERATIONS = ["Conv", "Relu", "MaxPool", "Conv", "Clip", "MaxPool", "Conv", "Selu", "MaxPool"]


def run(model, images):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images})[0]


def test_graph_holds_the_layers_and_nothing_else(model):
    graph = onnx.load_model_from_string(model).graph
    operations = [node.op_type for node in graph.node]
    assert operations == [
        *OPERATIONS,
        "Conv",
        "LeakyRelu",
        "MaxPool",
        "AveragePool",
        *operations[-2:],
    ]
    assert operations[-2] in {"Flatten", "Reshape"}
    assert operations[-1] == "Gemm"


def test_input_and_output_are_named_and_the_batch_is_free(model):
    graph = onnx.shape_inference.infer_shapes(
        onnx.load_model_from_string(model), strict_mode=True, data_prop=True
    ).graph
    assert [value.name for value in (*graph.input, *graph.output)] == ["images", "logits"]
    sizes = [d.dim_value or d.dim_param for d in graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 1, 28, 28]
    sizes = [d.dim_value or d.dim_param for d in graph.output[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 5]


@pytest.mark.parametrize(
    ("text", "shape", "settings"),
    [
        ("k3c16elu", (1, 28, 28), {}),
        ("k5c16sigmoid-k1c32selu-k3c16relu6", (3, 21, 25), {}),
        ("k3c16relu-k3c32leakyrelu-k5c16elu-k1c16relu", (3, 45, 33), {"pool": 1}),
        ("k3c16relu-k3c16relu-k3c16relu", (1, 50, 41), {"downsampling": "strided", "pool": 3}),
    ],
)
def test_every_activation_and_odd_sizes_agree_with_torch(text, shape, settings):
    module = random_vgg9(text, input_shape=shape, **settings)
    model = export_onnx(module, input_shape=shape, metadata=make_card(text, shape[0]))
    images = np.random.default_rng(3).standard_normal((7, *shape), np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    for count in (1, 7):
        np.testing.assert_allclose(
            run(model, images[:count]), expected[:count], atol=1e-5 * np.ptp(expected)
        )


def test_file_says_how_to_use_it_and_where_it_comes_from(model):
    proto = onnx.load_model_from_string(model)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata["architecture"] == "k3c16relu-k5c16relu6-k1c32selu-k3c16leakyrelu"
    assert json.loads(metadata["labels"]) == ["A", "B", "C", "D", "É"]
    assert metadata["ways"] == "5"
    assert json.loads(metadata["input_shape"]) == [1, 28, 28]
    assert json.loads(metadata["mean"]) == [0.1]
    assert json.loads(metadata["std"]) == [0.3]
    assert json.loads(metadata["provenance"])["seed"] == 7


def test_file_holds_no_path_of_this_machine(model):
    assert b"site-packages" not in model
    assert b"stack_trace" not in model


def test_exporter_is_silent(module, capfd):
    export_onnx(module, input_shape=(1, 28, 28), metadata=make_card())
    assert capfd.readouterr() == ("", "")


def test_export_leaves_the_module_as_it_was():
    module = random_vgg9("k3c16relu").train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    export_onnx(module, input_shape=(1, 28, 28), metadata=make_card())
    assert module.training
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())


class DependsOnValues(nn.Module):
    def forward(self, images):
        return images if images.sum() > 0 else -images


@pytest.mark.parametrize("module", [DependsOnValues(), nn.Conv2d(3, 4, 3)])
def test_what_torch_cannot_export_is_one_clear_error(module, capfd):
    with pytest.raises(ExportError, match="torch cannot export this network: ") as raised:
        export_onnx(module, input_shape=(1, 28, 28), metadata=make_card())
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_weights_that_are_not_numbers_are_refused():
    module = random_vgg9("k3c16relu")
    module[0].bias.data[0] = torch.nan
    with pytest.raises(ExportError, match="not finite"):
        export_onnx(module, input_shape=(1, 28, 28), metadata=make_card())


def test_replaced_weights_give_the_file_that_an_export_gives(model):
    other = random_vgg9("k3c16relu-k5c16relu6-k1c32selu-k3c16leakyrelu", seed=5)
    exported = export_onnx(other, input_shape=(1, 28, 28), metadata=make_card())
    replaced = replace_weights(model, other, metadata=make_card())
    images = np.random.default_rng(0).standard_normal((4, 1, 28, 28), np.float32)
    assert np.array_equal(run(exported, images), run(replaced, images))
    assert not np.allclose(run(exported, images), run(model, images))


def test_weights_of_other_shapes_are_refused(model):
    with pytest.raises(ExportError, match=r"no weights '0\.weight'"):
        replace_weights(model, random_vgg9("k5c16relu"), metadata=make_card())


def test_weights_of_equal_shapes_but_other_operations_are_refused(model):
    other = random_vgg9("k3c16elu-k5c16relu6-k1c32selu-k3c16leakyrelu")
    with pytest.raises(ExportError, match="ONNX Runtime and torch differ by"):
        replace_weights(model, other, metadata=make_card())


@pytest.mark.parametrize("broken", [b"", b"no model", b"\x08\x0a\xff\xff"])
def test_broken_bytes_are_refused(module, broken):
    with pytest.raises(ExportError, match="not an ONNX model"):
        replace_weights(broken, module, metadata=make_card())


def test_truncated_model_is_refused(model, module):
    with pytest.raises(ExportError, match="not an ONNX model"):
        replace_weights(model[: len(model) // 2], module, metadata=make_card())


def test_initializers_are_the_modules_weights(model, module):
    stored = {t.name: t for t in onnx.load_model_from_string(model).graph.initializer}
    for name, weights in module.state_dict().items():
        assert np.array_equal(numpy_helper.to_array(stored[name]), weights.numpy())


def test_a_fixed_batch_is_in_the_file_and_holds():
    module = random_vgg9("k3c16elu")
    model = export_onnx(
        module, input_shape=(1, 28, 28), metadata=make_card("k3c16elu"), batch=3, opset=14
    )
    graph = onnx.load_model_from_string(model).graph
    sides = [
        [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (graph.input[0], graph.output[0])
    ]
    assert sides == [[3, 1, 28, 28], [3, 5]]
    images = np.random.default_rng(0).standard_normal((4, 1, 28, 28), np.float32)
    assert run(model, images[:3]).shape == (3, 5)
    with pytest.raises(InvalidArgument):
        run(model, images)
    other = random_vgg9("k3c16elu", seed=1)
    with torch.no_grad():
        expected = other(torch.from_numpy(images[:3])).numpy()
    replaced = replace_weights(model, other, metadata=make_card("k3c16elu"))
    np.testing.assert_allclose(run(replaced, images[:3]), expected, atol=1e-5 * np.ptp(expected))


@pytest.mark.parametrize("opset", [13, 99])
def test_an_opset_out_of_range_is_refused_before_anything_is_exported(opset):
    with pytest.raises(ExportError, match=f"in opset {opset}"):
        export_onnx(None, input_shape=(1, 28, 28), metadata=make_card(), opset=opset)


@pytest.mark.parametrize(("channels", "colours"), [(1, "grey"), (3, "rgb")])
@pytest.mark.parametrize("inverted", [False, True])
def test_card_says_how_a_picture_becomes_an_image(channels, colours, inverted):
    card = dataclasses.replace(make_card(channels=channels), inverted=inverted)
    metadata = card.to_metadata((channels, 28, 30))
    assert metadata["colours"] == colours
    assert metadata["resize"] == "lanczos"
    assert json.loads(metadata["inverted"]) is inverted
    assert json.loads(metadata["input_shape"]) == [channels, 28, 30]
