"""Elementwise functions in plain arithmetic: vectors can compute them, and C needs no library.

TVM's own definitions call a C library, such as `expf` for one value at a time. The polynomials
here are off by at most 2e-6 of the value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tvm
from tvm import te, tirx, topi

from metanas.native.activations import activate

Legalizer = Callable[[Any, Any], Any]
"""(builder, call) to the call that replaces it, as `relax.transform.LegalizeOps` wants it."""


def activation_legalizers() -> Mapping[str, Legalizer]:
    """By operator."""
    functions = {
        "relax.abs": _absolute,
        "relax.exp": topi.fast_exp,
        "relax.tanh": topi.fast_tanh,
        "relax.erf": topi.fast_erf,
        "relax.sigmoid": _sigmoid,
    }
    return {name: _legalizer(name, function) for name, function in functions.items()}


def _legalizer(name: str, function: Callable[[Any], Any]) -> Legalizer:
    def legalize(builder: Any, call: Any) -> Any:
        (argument,) = call.args
        if argument.ty.dtype != "float32":
            return tvm.ir.Op.get(name).get_attr("FLegalize")(builder, call)
        return builder.call_te(function, argument, primfunc_name_hint=name.rpartition(".")[2])

    return legalize


def _absolute(x: Any) -> Any:
    return te.compute(x.shape, lambda *at: tirx.max(x(*at), -x(*at)), name="absolute")


def _sigmoid(x: Any) -> Any:
    return te.compute(x.shape, lambda *at: activate("sigmoid", x(*at)), name="sigmoid")
