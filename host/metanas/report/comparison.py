"""The found network beside the baseline: the rows that terminal and page both show."""

from __future__ import annotations

from dataclasses import dataclass

from metanas.report import wording
from metanas.report.run_files import NetworkEvaluation, RunFiles

FIGURES = (
    "params",
    "MACs",
    "size",
    "predicted latency",
    "measured latency",
    "accuracy, deployed",
    "accuracy, transductive",
)


@dataclass(frozen=True, slots=True)
class ComparedNetwork:
    """A row of the comparison.

    Args:
        name: `found` or `baseline`.
        architecture: its text.
        cells: one text for each of `FIGURES`.
    """

    name: str
    architecture: str
    cells: tuple[str, ...]


def compared_networks(run: RunFiles) -> list[ComparedNetwork]:
    """Rows for the networks that were evaluated; only the found one runs on the device."""
    if run.evaluation is None:
        return []
    measured = wording.milliseconds(run.verification.measured.median_ms) if run.verification else ""
    rows = [_row("found", run.evaluation.found, measured)]
    if run.evaluation.baseline:
        rows.append(_row("baseline", run.evaluation.baseline, ""))
    return rows


def _row(name: str, network: NetworkEvaluation, measured: str) -> ComparedNetwork:
    return ComparedNetwork(
        name,
        network.architecture,
        (
            wording.count(network.params),
            wording.count(network.macs),
            wording.size(network.size_bytes),
            wording.milliseconds(network.predicted_latency_ms),
            measured or "not measured",
            wording.accuracy(network.deployed),
            wording.accuracy(network.transductive),
        ),
    )
