"""The rows of H-Meta-NAS's tables 2, 4 and 5: what each asks for, and what the paper reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from metanas.meta import OuterSettings
from metanas.runs import RunSettings

OMNIGLOT = OuterSettings(tasks=8, inner_rate=0.1)
MINI_IMAGENET = OuterSettings(tasks=4, inner_rate=0.01)
"""The inner rates are those of MAML++ (Antoniou et al. 2019); meta-batches twice as large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of the paper.

    Args:
        settings: the tasks and the space.
        outer: the schedule at full scale.
        constraints: of the adaptation.
        baseline: the hand-made network to train beside it, equally long.
        paper: accuracy that the paper reports for H-Meta-NAS.
    """

    settings: RunSettings
    outer: OuterSettings
    constraints: tuple[str, ...]
    baseline: str = ""
    paper: str


def _chain(channels: int) -> str:
    return "-".join([f"k3c{channels}relu"] * 4)


def _omniglot(shots: int, paper: str) -> Row:
    return Row(
        settings=RunSettings(data="omniglot", ways=20, shots=shots, queries=5, train_queries=1),
        outer=OMNIGLOT,
        constraints=("params<=110.73k", "macs<=4.95M"),
        baseline=_chain(64),
        paper=paper,
    )


def _mini_imagenet(
    paper: str,
    constraints: tuple[str, ...] = ("params<=70.28k", "macs<=24.09M"),
    shots: int = 1,
    **space: Any,
) -> Row:
    return Row(
        settings=RunSettings(data="mini-imagenet", ways=5, shots=shots, train_queries=15, **space),
        outer=MINI_IMAGENET,
        constraints=constraints,
        baseline=_chain(48) if "space" not in space else "",
        paper=paper,
    )


def _ablation(paper: str, **space: Any) -> Row:
    return replace(_mini_imagenet(paper, ("params<=70k",), **space), baseline="")


_RESNET12 = ("params<=70.62k", "macs<=28.19M")

ROWS = {
    "omniglot-20-way-1-shot": _omniglot(1, "97.61 +- 0.03"),
    "omniglot-20-way-5-shot": _omniglot(5, "99.11 +- 0.09"),
    "mini-imagenet-1-shot": _mini_imagenet("57.36 +- 1.11"),
    "mini-imagenet-5-shot": _mini_imagenet("77.53 +- 0.77", shots=5),
    "mini-imagenet-1-shot-resnet12": _mini_imagenet("64.67 +- 2.03", _RESNET12, space="resnet12"),
    "pool-1": _ablation("42.28", pool=1, global_expansion=False, adaptive_depth=False),
    "pool-5": _ablation("46.13", global_expansion=False, adaptive_depth=False),
    "pool-5-ge": _ablation("53.09", adaptive_depth=False),
    "pool-5-ge-anl": _ablation("56.35"),
}
"""The last four are table 2, one under the other."""
