"""The inner loop as files that any ONNX runtime learns with, no training framework needed."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import torch

from metanas.deploy.adaptation_graph.agreement import check_adaptation
from metanas.deploy.adaptation_graph.free_sizes import name_free_sizes
from metanas.deploy.adaptation_graph.inference import infer
from metanas.deploy.adaptation_graph.inner_loop import adapt
from metanas.deploy.adaptation_graph.traced_network import trace_network
from metanas.deploy.adaptation_graph.writer import GraphWriter, Shape
from metanas.deploy.card import ModelCard
from metanas.deploy.opset import OPSET, convert_opset
from metanas.meta import MetaParameters
from metanas.spaces.network import Network

SUPPORT_IMAGES, SUPPORT_LABELS = "support_images", "support_labels"
QUERY_IMAGES, LOGITS = "query_images", "logits"
IMAGES, QUERIES = "images", "queries"
"""Names of the two free sizes."""


@dataclass(frozen=True, slots=True)
class AdaptationGraphs:
    """Two ONNX files of one network; the numbers of support and query images are free.

    Args:
        adaptation: `adapt.onnx`: support_images (images, channels, height, width), float32 and
            normalised, and support_labels (images, ways), one-hot float32, become the weights of
            the exported network, under the names that they have there.
        classifier: `classify.onnx`: these and query_images become logits (queries, ways).
    """

    adaptation: bytes
    classifier: bytes


def export_adaptation_graphs(
    network: Network,
    parameters: MetaParameters,
    *,
    input_shape: tuple[int, int, int],
    metadata: ModelCard,
    opset: int = OPSET,
) -> AdaptationGraphs:
    """Write the inner loop (MAML; with a batch-norm and rates a step, MAML++) as inference graphs.

    Args:
        network: the architecture.
        parameters: of exactly this network.
        input_shape: (channels, height, width) of one image.
        metadata: written into the files, without its labels: what is learned has its own.
        opset: that the files are written in.

    Raises:
        ExportError: the network has a layer that no gradient is known of, or cannot be written in
            this opset, or ONNX Runtime learns something else than torch does.
    """
    parameters = parameters.to(torch.device("cpu"))
    nodes, shapes = trace_network(network, input_shape)
    ways = nodes[-1].output_shape[0]
    support: dict[str, Shape] = {
        SUPPORT_IMAGES: (IMAGES, *input_shape),
        SUPPORT_LABELS: (IMAGES, ways),
    }
    query: dict[str, Shape] = {QUERY_IMAGES: (QUERIES, *input_shape)}

    writer = GraphWriter()
    folded = adapt(writer, nodes, parameters, SUPPORT_IMAGES, SUPPORT_LABELS)
    for name, value in folded.items():
        writer.name(value, name)
    writer.name(infer(writer, nodes, folded, QUERY_IMAGES), LOGITS)
    card = {k: v for k, v in metadata.to_metadata(input_shape).items() if k != "labels"}
    adaptation, classifier = (
        _finished(writer.model(inputs, outputs), card | {"kind": kind}, opset)
        for kind, inputs, outputs in (
            ("adaptation", support, shapes),
            ("classifier", support | query, {LOGITS: (QUERIES, ways)}),
        )
    )
    check_adaptation(adaptation, network, parameters, input_shape=input_shape, ways=ways)
    return AdaptationGraphs(adaptation, classifier)


def _finished(model: onnx.ModelProto, metadata: dict[str, str], opset: int) -> bytes:
    model = convert_opset(model, opset)
    name_free_sizes(model, IMAGES)
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
