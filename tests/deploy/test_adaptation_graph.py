"""What the graphs learn is what torch's inner loop learns."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from metanas.deploy import export_onnx
from metanas.deploy.adaptation_graph import export_adaptation_graphs
from metanas.deploy.adaptation_graph.agreement import (
    check_adaptation,
    difference,
    feeds,
    folded_by_torch,
    learned_by_torch,
    one_threaded,
    run_adaptation,
)
from metanas.errors import ExportError
from metanas.meta import MetaParameters, adapted_weights, norms_at, support_statistics
from support.learning_networks import learning_network, random_support, random_text
from support.random_networks import WAYS, make_card

SHAPE = (1, 14, 14)
TEXT = "k3c8relu-k5c16elu"
RESIDUAL = "k3c8relu-k1c16elu-k5c8selu-k3c16sigmoid-k1c16relu6-k3c32leakyrelu"
CELLS = (
    "skip@0+conv3x3@1,maxpool3x3@0+sepconv3x3@2,avgpool3x3@1+dilconv3x3@3",
    "sepconv3x3@0+skip@1,avgpool3x3@0+conv1x5-5x1@2,maxpool3x3@1+dilconv3x3@3",
    "conv1x5-5x1@0+avgpool3x3@1,dilconv3x3@0+skip@2,maxpool3x3@1+conv3x3@3",
)
"""Any two of them have all operations."""

VGG9 = ("vgg9", "k3c16relu-k5c16elu", {}, 3)
SMALL_CELLS = ("cells", f"{CELLS[0]}:{CELLS[1]}", {"channels": 4, "cells": 2}, 2)
"""Space, architecture, settings and steps."""


def export(network, parameters, shape=SHAPE, **options):
    card = make_card(TEXT, channels=shape[0])
    return export_adaptation_graphs(
        network, parameters, input_shape=shape, metadata=card, **options
    )


@pytest.fixture(scope="module", params=[VGG9, SMALL_CELLS], ids=["vgg9", "cells"])
def pair(request):
    space, text, settings, steps = request.param
    return learning_network(space, text, input_shape=SHAPE, settings=settings, steps=steps)


@pytest.fixture(scope="module")
def graphs(pair):
    return export(*pair)


@pytest.mark.parametrize(
    ("space", "text", "shape", "settings"),
    [
        ("vgg9", "k3c16relu-k5c16relu6-k1c32selu", (1, 21, 17), {}),
        ("vgg9", "k5c16elu-k3c32sigmoid-k1c16leakyrelu", (3, 13, 14), {"downsampling": "strided"}),
        ("vgg9", "k3c16selu-k1c16relu", (1, 22, 15), {"pool": 2}),
        ("vgg9", "k3c16relu-k3c16relu-k3c16relu-k3c16relu", (1, 28, 28), {"pool": 1}),
        ("resnet12", RESIDUAL, (1, 13, 11), {}),
        ("resnet12", RESIDUAL, (3, 13, 16), {"downsampling": "strided"}),
        ("cells", f"{CELLS[1]}:{CELLS[2]}", (1, 15, 14), {"channels": 5, "cells": 4}),
        ("cells", f"{CELLS[2]}:{CELLS[0]}", (3, 12, 11), {"channels": 4, "cells": 3}),
    ],
)
def test_the_weights_are_those_of_torch(space, text, shape, settings):
    network, parameters = learning_network(space, text, input_shape=shape, settings=settings)
    adaptation = export(network, parameters, shape).adaptation
    for shots in (1, 3):
        images, labels = random_support(shape, shots=shots, seed=1)
        learned = run_adaptation(adaptation, images, labels)
        exact = learned_by_torch(network, parameters, images, labels, torch.float64)
        assert difference(learned, exact) < 5e-5


@pytest.mark.parametrize("switches", [{"adapted_norms": True}, {"per_step_norms": False}])
@pytest.mark.parametrize(
    ("space", "text", "settings"),
    [
        ("vgg9", "k3c16relu", {}),
        ("cells", f"{CELLS[0]}:{CELLS[1]}", {"channels": 5, "cells": 2}),
    ],
)
def test_however_batch_norm_is_learned(space, text, settings, switches):
    network, parameters = learning_network(
        space, text, input_shape=SHAPE, settings=settings, **switches
    )
    images, labels = random_support(SHAPE, shots=2)
    learned = run_adaptation(export(network, parameters).adaptation, images, labels)
    exact = learned_by_torch(network, parameters, images, labels, torch.float64)
    assert difference(learned, exact) < 1e-5
    unlearned = learned_by_torch(network, _at_rest(parameters), images, labels)
    assert difference(learned, unlearned) > 1e-3


def _at_rest(parameters):
    """The same, with rates at which nothing is learned."""
    rates = {name: torch.zeros_like(rate) for name, rate in parameters.rates.items()}
    return MetaParameters(parameters.adapted, parameters.norms, rates)


def test_of_equal_pixels_the_first_gets_the_gradient_as_in_torch(pair, graphs):
    images, labels = random_support(SHAPE)
    images = np.round(images).clip(-1, 1)  # large areas of one value
    images[:, :, :7] = 1
    learned = run_adaptation(graphs.adaptation, images, labels)
    assert difference(learned, learned_by_torch(*pair, images, labels, torch.float64)) < 1e-5


def test_any_number_of_images_learns_and_any_number_is_classified(pair, graphs):
    network, parameters = pair
    rng = np.random.default_rng(4)
    session = one_threaded(graphs.classifier)
    for labels, queries in ([0, 1, 1, 2, 3, 4, 4], 1), ([4, 3], 9):
        images = rng.standard_normal((len(labels), *SHAPE), np.float32)
        query = rng.standard_normal((queries, *SHAPE), np.float32)
        support = feeds(images, np.array(labels), WAYS)
        (logits,) = session.run(["logits"], support | {"query_images": query})
        expected = deployed_logits(network, parameters, images, labels, query)
        np.testing.assert_allclose(logits, expected, atol=1e-5 * np.ptp(expected))


def deployed_logits(network, parameters, images, labels, query):
    """Of the functional network, batch-norm by the support set's statistics."""
    support, norms = torch.from_numpy(images)[None], norms_at(parameters, parameters.steps - 1)
    weights = adapted_weights(network, parameters, support, torch.tensor(labels)[None])
    with torch.no_grad():
        statistics = support_statistics(network, weights, norms, support)
        query = torch.from_numpy(query)[None]
        return network(weights, norms, query, statistics=statistics)[0].numpy()


def test_the_weights_go_into_the_exported_network(pair, graphs):
    network, parameters = pair
    other = random_support(SHAPE, seed=7)
    model = onnx.load_model_from_string(
        export_onnx(
            folded_by_torch(network, parameters, *other),
            input_shape=SHAPE,
            metadata=make_card(),
        )
    )
    images, labels = random_support(SHAPE, seed=8)
    learned = run_adaptation(graphs.adaptation, images, labels)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, values in learned.items():
        assert tuple(stored[name].dims) == values.shape
        stored[name].CopyFrom(numpy_helper.from_array(values, name))
    query = np.random.default_rng(9).standard_normal((4, *SHAPE), np.float32)
    (given,) = one_threaded(model.SerializeToString()).run(None, {"images": query})
    support = feeds(images, labels, WAYS) | {"query_images": query}
    (expected,) = one_threaded(graphs.classifier).run(None, support)
    np.testing.assert_allclose(given, expected, atol=1e-5 * np.ptp(expected))


def test_the_files_say_what_they_are(graphs):
    for kind, data in ("adaptation", graphs.adaptation), ("classifier", graphs.classifier):
        model = onnx.load_model_from_string(data)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        assert metadata["kind"] == kind
        assert "labels" not in metadata
        assert metadata["ways"] == "5"
        assert json.loads(metadata["input_shape"]) == list(SHAPE)
        assert json.loads(metadata["mean"]) == [0.1]
        assert {node.domain for node in model.graph.node} == {""}
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def test_inputs_and_outputs(pair, graphs):
    adaptation, classifier = map(
        onnx.load_model_from_string, (graphs.adaptation, graphs.classifier)
    )
    support = {"support_images": ["images", *SHAPE], "support_labels": ["images", WAYS]}
    assert _sizes(adaptation.graph.input) == support
    module = folded_by_torch(*pair, *random_support(SHAPE))
    weights = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
    assert _sizes(adaptation.graph.output) == weights
    assert _sizes(classifier.graph.input) == support | {"query_images": ["queries", *SHAPE]}
    assert _sizes(classifier.graph.output) == {"logits": ["queries", WAYS]}


def _sizes(values):
    return {
        value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in values
    }


@pytest.mark.parametrize("opset", [14, 16, 17, 19, 20, 21, 22, 23, 25, 26])
def test_in_the_opset_that_a_board_reads(pair, graphs, opset):
    model = export(*pair, opset=opset).adaptation
    assert [i.version for i in onnx.load_model_from_string(model).opset_import] == [opset]
    support = random_support(SHAPE)
    given, usual = (run_adaptation(m, *support) for m in (model, graphs.adaptation))
    assert difference(given, usual) < 1e-6


def test_the_same_network_gives_the_same_bytes_but_for_the_time(pair, graphs):
    again = onnx.load_model_from_string(export(*pair).adaptation)
    assert again.graph == onnx.load_model_from_string(graphs.adaptation).graph


@pytest.mark.parametrize("opset", [13, 99])
def test_an_opset_that_cannot_be_written(pair, opset):
    with pytest.raises(ExportError, match=f"no network can be written in opset {opset}"):
        export(*pair, opset=opset)


class Folding:
    """A network that folds into another module than its own."""

    def __init__(self, network, change):
        self.adapted_shapes, self.norm_shapes = network.adapted_shapes, network.norm_shapes
        self._network, self._change = network, change

    def folded(self, *tensors):
        return self._change(self._network.folded(*tensors))


class Doubled(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x) * 2


@pytest.mark.parametrize(
    ("change", "layer"), [(lambda m: nn.Sequential(m, nn.GELU()), "GELU"), (Doubled, "mul")]
)
def test_a_layer_that_no_gradient_is_known_of(pair, change, layer):
    network, parameters = pair
    with pytest.raises(ExportError, match=f"no gradient is known of .*{layer}"):
        export(Folding(network, change), parameters)


def test_weights_that_are_not_numbers_are_refused(pair):
    network, parameters = pair
    named = {name: tensor.clone() for name, tensor in parameters.named()}
    named[f"adapted/{next(iter(parameters.adapted))}"][0] = torch.nan
    with pytest.raises(ExportError, match="not finite"):
        export(network, MetaParameters.from_named(named))


@pytest.mark.parametrize(("pair", "factor"), [(VGG9, 1.01), (SMALL_CELLS, 1.1)], indirect=["pair"])
def test_a_graph_that_learns_something_else_is_refused(pair, graphs, factor):
    network, parameters = pair
    named = {name: tensor.clone() for name, tensor in parameters.named()}
    named[f"rates/{next(iter(parameters.rates))}"][1] *= factor
    with pytest.raises(ExportError, match=r"ONNX Runtime learns weights that are .* off"):
        check_adaptation(
            graphs.adaptation,
            network,
            MetaParameters.from_named(named),
            input_shape=SHAPE,
            ways=WAYS,
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "settings"),
    [
        *(
            (space, {"downsampling": downsampling})
            for space in ("vgg9", "resnet12")
            for downsampling in ("pooled", "strided")
        ),
        ("cells", {}),
    ],
)
@pytest.mark.parametrize("seed", range(10))
def test_random_networks(space, settings, seed):
    shape = (3, 28, 28)
    text = random_text(space, seed, input_shape=shape, settings=settings)
    network, parameters = learning_network(space, text, input_shape=shape, settings=settings)
    export(network, parameters, shape)  # it checks
