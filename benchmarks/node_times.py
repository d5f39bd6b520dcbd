"""How long each layer takes inside a whole network, by onnxruntime's own profiler.

The profiler counts whole microseconds a node. A reorder of a map into blocks of channels is
counted to the node before it, and one out of them to the node behind it.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from metanas_agent.layers import LayerSpec
from metanas_agent.runtimes.onnx_graph import INPUT, OUTPUT, layer_model

WARM_UPS = 3
_LAYER = re.compile(r"layer(\d+)/")
_END_OF_RUN = "model_run"


def node_times(
    model: bytes, layers: Sequence[LayerSpec], image: NDArray[np.float32], *, budget_ms: float
) -> NDArray[np.float64]:
    """Milliseconds of each layer, the mean over the middle half of its runs.

    Args:
        model: of the network, as `network_model` writes it.
        layers: of the network, in order.
        image: of its input.
        budget_ms: how long to run it.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = _profiled_session(_named_by_layer(model, layers), Path(folder, "profile"))
        binding = session.io_binding()
        binding.bind_cpu_input(INPUT, image)
        binding.bind_output(OUTPUT)
        begin = time.perf_counter()
        for _ in range(WARM_UPS):
            session.run_with_iobinding(binding)
        run_ms = (time.perf_counter() - begin) * 1e3 / WARM_UPS
        for _ in range(math.ceil(max(budget_ms / run_ms, 2 * WARM_UPS))):
            session.run_with_iobinding(binding)
        events = json.loads(Path(session.end_profiling()).read_text())
    runs_ms = np.sort(list(_runs(events, len(layers)))[WARM_UPS:], axis=0) / 1e3
    quarter = len(runs_ms) // 4
    mean_ms: NDArray[np.float64] = runs_ms[quarter : len(runs_ms) - quarter].mean(axis=0)
    return mean_ms


def _named_by_layer(model: bytes, layers: Sequence[LayerSpec]) -> bytes:
    """The same network, each node and value named by its layer: optimised nodes keep them."""
    network = onnx.load_model_from_string(model)
    rng = np.random.default_rng(0)
    owners = [
        number for number, layer in enumerate(layers) for _ in layer_model(layer, rng).graph.node
    ]
    names: dict[str, str] = {}
    for place, (node, owner) in enumerate(zip(network.graph.node, owners, strict=True)):
        node.name = f"layer{owner}/node{place}"
        if node.output[0] != OUTPUT:
            names[node.output[0]] = f"layer{owner}/value{place}"
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    data: bytes = network.SerializeToString()
    return data


def _profiled_session(model: bytes, prefix: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(prefix)
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _runs(events: Iterable[dict[str, Any]], layers: int) -> Iterable[NDArray[np.float64]]:
    """Microseconds of each layer, run by run."""
    times, waiting, last = np.zeros(layers), 0.0, None
    for event in events:
        if event["name"] == _END_OF_RUN:
            yield times
            times, waiting, last = np.zeros(layers), 0.0, None
        elif event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            owner = _LAYER.search(event["name"])
            if owner:
                last = int(owner[1])
                times[last] += event["dur"] + waiting
                waiting = 0.0
            elif last is not None and event["args"]["op_name"] == "ReorderInput":
                times[last] += event["dur"]
            else:
                waiting += event["dur"]
