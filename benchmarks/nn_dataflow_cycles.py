"""Cycles of convolutions by nn-dataflow's schedule search, for `eyeriss.py --nn-dataflow`.

Runs under an interpreter that has nn-dataflow (`pip install nn-dataflow 'sympy<=1.9'`; not that of
metanas, whose packages are newer) and imports nothing of metanas. Reads JSON from standard input
and writes JSON to standard output.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata

from nn_dataflow.core import (
    ConvLayer,
    Cost,
    InputLayer,
    MapStrategyEyeriss,
    Network,
    NNDataflow,
    NodeRegion,
    Option,
    PhyDim2,
    Resource,
)

WORD_BYTES = 2
BUFFER_WORDS = 108 * 1024 // WORD_BYTES
REGISTER_WORDS = 512 // WORD_BYTES


def main() -> None:
    asked = json.load(sys.stdin)
    rows, columns = asked["array"]
    resource = one_array(rows, columns)
    json.dump(
        {
            "version": metadata.version("nn-dataflow"),
            "cycles": [cycles(layer, resource) for layer in asked["layers"]],
        },
        sys.stdout,
    )


def one_array(rows: int, columns: int) -> Resource:
    """One Eyeriss: its array, buffer and registers; neither buses nor DRAM limit it."""
    node = PhyDim2(1, 1)
    dram = NodeRegion(dim=node, origin=PhyDim2(0, 0), type=NodeRegion.DRAM)
    return Resource(
        proc_region=NodeRegion(dim=node, origin=PhyDim2(0, 0), type=NodeRegion.PROC),
        dram_region=dram,
        src_data_region=dram,
        dst_data_region=dram,
        dim_array=PhyDim2(rows, columns),
        size_gbuf=BUFFER_WORDS,
        size_regf=REGISTER_WORDS,
        array_bus_width=float("inf"),
        dram_bandwidth=float("inf"),
        no_time_mux=False,
    )


def cycles(layer: list[int], resource: Resource) -> int | None:
    """Of the fastest schedule of one image, None if none was found.

    Args:
        layer: out_height, out_width, kernel_height, kernel_width, in_channels, out_channels,
            stride.
        resource: what computes it.
    """
    out_height, out_width, kernel_height, kernel_width, in_channels, out_channels, stride = layer
    network = Network("layer")
    in_height = (out_height - 1) * stride + kernel_height
    in_width = (out_width - 1) * stride + kernel_width
    network.set_input_layer(InputLayer(in_channels, (in_height, in_width)))
    kernel = (kernel_height, kernel_width)
    network.add(
        "layer",
        ConvLayer(in_channels, out_channels, (out_height, out_width), kernel, strd=stride),
    )
    cost = Cost(mac_op=1, mem_hier=(200, 6, 2, 1), noc_hop=0, idl_unit=0)
    options = Option(
        sw_gbuf_bypass=(True, True, True),
        sw_solve_loopblocking=True,  # as fast schedules as the exhaustive search, in no time
        opt_goal="d",
        ntops=1,
        nprocesses=1,
    )
    found, _ = NNDataflow(network, 1, resource, cost, MapStrategyEyeriss).schedule_search(options)
    return int(found[0].total_time) if found else None


if __name__ == "__main__":
    main()
