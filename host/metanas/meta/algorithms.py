"""The published algorithms as settings of one outer loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Algorithm = Literal["maml++", "maml", "fomaml", "reptile"]

_MAML: dict[str, Any] = {
    "learned_rates": False,
    "per_step_norms": False,
    "adapted_norms": True,
    "first_order_share": 0.0,
    "multi_step_share": 0.0,
}

ALGORITHMS: Mapping[Algorithm, Mapping[str, Any]] = {
    "maml++": {},
    "maml": _MAML,
    "fomaml": _MAML | {"first_order_share": 1.0},
    "reptile": _MAML | {"first_order_share": 1.0, "outer_update": "reptile"},
}
"""Name to the fields of `OuterSettings` that differ from the defaults.

MAML++ is Antoniou et al. 2019; MAML and first-order MAML are Finn et al. 2017, whose inner loop
changes batch-norm's scales and shifts as it changes weights; Reptile is Nichol et al. 2018. Only
what tells them apart is here: steps, rates and their cosine are the caller's (with `final_rate`
equal to `rate`, the outer rate stays as it is).
"""
