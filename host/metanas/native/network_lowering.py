"""An ONNX network becomes a short list of kernel calls: TVM's graph passes, run to their end."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from metanas.native.network_activations import activation_legalizers
from metanas.native.network_convolution import convolution_legalizer
from metanas.native.network_model import NetworkModel
from metanas.native.targets import Target

_FUSE_ALL = 2  # FuseOps' level: elementwise and injective operators join their neighbours


def lower_network(model: NetworkModel, target: Target) -> Any:
    """Import, fold constants, legalise and fuse a network for one image.

    Returns:
        A TVM module: `main` calls kernels (`relax.call_tir`), each an unscheduled PrimFunc.
    """
    shapes = {model.input_name: [1, *model.image_shape]}
    module = from_onnx(model.proto, shapes, keep_params_in_input=False)
    legalizers = {"relax.nn.conv2d": convolution_legalizer(target), **activation_legalizers()}
    passes = tvm.transform.Sequential(
        [
            relax.transform.DecomposeOpsForInference(),
            relax.transform.FoldConstant(),
            relax.transform.LegalizeOps(legalizers),
            relax.transform.FoldConstant(),  # packs the weights
            relax.transform.AnnotateTIROpPattern(),
            relax.transform.FuseOps(fuse_opt_level=_FUSE_ALL),
            relax.transform.FuseTIR(),
            relax.transform.DeadCodeElimination(),
        ]
    )
    with tvm.target.Target("llvm"):  # constants are folded on this machine
        return passes(module)
