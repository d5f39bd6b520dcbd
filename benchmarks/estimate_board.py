"""How well is a new board's table estimated? Each device is left out in turn.

    metanas-profile --device local --out TABLES          # and other devices, of the same space
    python benchmarks/estimate_board.py TABLES/*.tsv [--probes 10 15 20] [--json]

Of the device left out only the probes' rows are used, as if they alone were measured; its other
rows, which are real measurements, are what the estimates are compared with:

- rows: median and mean relative error, and the share of rows within their 95% interval;
- networks: 300 random architectures priced with the estimated and with the measured table.

`random` takes as many rows at random, instead of those that tell most. `measured` uses the tables
of measured devices only: a simulator says little of a processor, and nothing of its library.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from metanas.profiling import CALL, LatencyTable, additivity, read_table
from metanas.profiling.estimate import Estimator
from metanas.profiling.table import space_of

NETWORKS = 300


@dataclass(frozen=True)
class LeftOut:
    device: str
    others: int
    probes: int
    choice: str
    row_median_error: float
    row_mean_error: float
    row_half_interval: float
    row_coverage: float
    network_mean_error: float
    network_bias: float
    network_within_10: float
    network_tau: float
    network_coverage: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--probes", nargs="+", type=int, default=[10, 15, 20])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tables = [read_table(path) for path in options.tables]
    measured = [table for table in tables if table.shared("source") == "measured"]
    results: dict[str, list[LeftOut]] = {}
    for title, chosen in (("all", tables), ("measured", measured)):
        if len(chosen) > 1 and not (title == "measured" and len(measured) == len(tables)):
            results[title] = leave_each_out(chosen, options.probes)
    if options.json:
        print(json.dumps({k: [asdict(found) for found in v] for k, v in results.items()}, indent=2))
    else:
        for title, found in results.items():
            print(f"from {title} other devices")
            print("\n".join(as_lines(found)))


def leave_each_out(tables: Sequence[LatencyTable], counts: Sequence[int]) -> list[LeftOut]:
    results = []
    for target in tables:
        others = [table for table in tables if table is not target]
        estimator = Estimator(space_of(target), others)
        for count in counts:
            probes = choose(estimator, target, count)
            results.append(compare(estimator, probes, target, "chosen"))
            keys = np.random.default_rng(1).permutation(list(target.rows)[1:])[:count]
            probes = rows_of(target, [CALL.key, *map(str, keys)])
            results.append(compare(estimator, probes, target, "random"))
    return results


def choose(estimator: Estimator, target: LatencyTable, count: int) -> LatencyTable:
    """As the command does: half of the probes, and the rest once those are measured."""
    keys = [CALL.key, *(layer.key for layer in estimator.choose_probes(count // 2))]
    rest = estimator.choose_probes(count - count // 2, rows_of(target, keys))
    return rows_of(target, [*keys, *(layer.key for layer in rest)])


def rows_of(table: LatencyTable, keys: Sequence[str]) -> LatencyTable:
    return LatencyTable(table.header, {key: table.rows[key] for key in keys})


def compare(
    estimator: Estimator, probes: LatencyTable, target: LatencyTable, choice: str
) -> LeftOut:
    estimated = estimator.estimate(probes)
    rows = [
        row
        for row in estimated.rows.values()  # what a simulator does not know of takes 0 there
        if row.source == "estimated" and target.rows[row.key].median_ms
    ]
    true_ms = np.array([target.rows[row.key].median_ms for row in rows])
    errors = np.abs(np.array([row.median_ms for row in rows]) / true_ms - 1)
    within = [row.low_ms <= true <= row.high_ms for row, true in zip(rows, true_ms, strict=True)]
    space = estimator.space
    genes = space.sample(NETWORKS, np.random.default_rng(2))
    measured_ms, predicted_ms = target.latency_ms(space, genes), estimated.latency_ms(space, genes)
    interval = estimated.interval_ms(space, genes)
    networks = additivity(predicted_ms, measured_ms)
    inside = (interval.low_ms <= measured_ms) & (measured_ms <= interval.high_ms)
    return LeftOut(
        device=target.header.device.name,
        others=len(estimator.others),
        probes=len(probes.rows) - 1,
        choice=choice,
        row_median_error=float(np.median(errors)),
        row_mean_error=float(errors.mean()),
        row_half_interval=float(np.median([row.relative_interval for row in rows])),
        row_coverage=float(np.mean(within)),
        network_mean_error=networks.mean_error,
        network_bias=networks.bias,
        network_within_10=networks.within_10,
        network_tau=networks.tau,
        network_coverage=float(inside.mean()),
    )


def as_lines(results: Sequence[LeftOut]) -> list[str]:
    head = (
        f"{'left out':14} {'probes':>10} | {'rows: median':>12} {'mean':>6} {'+-95%':>6} "
        f"{'covered':>7} | {'networks: mean':>14} {'bias':>6} {'<10%':>5} {'tau':>5} {'covered':>7}"
    )
    return [head, *(as_line(found) for found in results)]


def as_line(found: LeftOut) -> str:
    return (
        f"{found.device:14} {found.probes:3} {found.choice} | {found.row_median_error:12.1%} "
        f"{found.row_mean_error:6.1%} {found.row_half_interval:6.0%} {found.row_coverage:7.1%} | "
        f"{found.network_mean_error:14.1%} {found.network_bias:+6.1%} "
        f"{found.network_within_10:5.0%} {found.network_tau:5.2f} {found.network_coverage:7.1%}"
    )


if __name__ == "__main__":
    main()
