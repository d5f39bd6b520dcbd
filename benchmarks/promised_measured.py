"""Promised against measured latency of exported winners: how far may a table be trusted?

    metanas-profile --device local                      # then: metanas-profile calibrate NAME
    python benchmarks/promised_measured.py NAME [--run RUN] [--winners 20] [--random 20]

Winners are what a search would answer for one latency limit after the other: with --run, the Pareto
front and the finalists of that run's search; else, for limits spread evenly (in ratio) over the
space's latencies, the architecture with the most multiply-accumulates of 2,000 random ones that
keep the limit, for want of a trained super-network. They are of another draw than those that
calibrate measures. Beside them stand random networks. Each is exported as `metanas export` does it,
with random weights, which change no latency, and verified on the table's device as `metanas verify`
does it, in rounds of random order. Of a network's rounds counts the one with the most trusted
timing, and among those the one in which the device was nearest to the pace of its table.

`error` is measured / predicted - 1; `at equal pace` divides it by how much slower the device was
than when its table was made; `plain sums` are what the table says without its calibration, at equal
pace too.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from metanas.deploy import ModelCard, Network, Verification, adapted_from_file, export_onnx, verify
from metanas.devices import open_device
from metanas.profiling import LatencyTable, as_searched, find_table, read_table, slowdown
from metanas.profiling.table import space_of, timer_of
from metanas.runs import RunFolder, predict
from metanas.spaces import Genes, SearchSpace
from metanas_agent.measurement import VERDICTS
from metanas_agent.timer import TimerSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.random_networks import random_network

BUDGET_MS = 400

DRAW = 1
"""Tells this draw of networks from calibrate's, which has the seed alone."""

ERRORS = {
    "error": "as measured",
    "error_at_equal_pace": "at equal pace",
    "plain_error_at_equal_pace": "plain sums",
}


def main() -> None:
    options = parse_options()
    table = read_table(find_table(options.table))
    space = space_of(table)
    rng = np.random.default_rng([options.seed, DRAW])
    winners = winners_of_run(options.run) if options.run else stand_ins(space, table, options, rng)
    random = texts_of(space, space.sample(options.random, rng))
    kinds = dict.fromkeys(random, "random") | dict.fromkeys(winners, "winner")
    texts = list(kinds)
    settings = timer_of(table, TimerSettings(budget_ms=BUDGET_MS))
    seen: dict[str, list[Verification]] = {text: [] for text in texts}
    with closing(open_device(options.device or table.header.device.name)) as device:
        models = {text: exported(space, text) for text in texts}
        for number in range(options.rounds):
            for done, index in enumerate(rng.permutation(len(texts)), start=1):
                text = texts[index]
                check = verify(
                    device,
                    [adapted_from_file(models[text], count=3)],
                    network=Network(name="winner", architecture=text),
                    predicted=predict(space, text, table),
                    settings=settings,
                    pace=lambda: slowdown(device, table, settings),
                )
                seen[text].append(check)
                print(f"\rround {number + 1}: {done}/{len(texts)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    best = {text: min(checks, key=trust) for text, checks in seen.items()}
    report = report_of(table, best, kinds)
    print(json.dumps(report, indent=2) if options.json else as_text(report))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", help="a path, or the start of a name from metanas-profile list")
    parser.add_argument("--device", help="the table's own if not given")
    parser.add_argument("--run", type=Path, help="run folder with a search's winners")
    parser.add_argument("--winners", type=int, default=20)
    parser.add_argument("--random", type=int, default=20, help="random networks beside them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def winners_of_run(path: Path) -> list[str]:
    """The Pareto front and the finalists, each once."""
    folder = RunFolder.open(path)
    found = folder.read_json(folder.search, made_by="metanas adapt")
    return list(dict.fromkeys(c["architecture"] for c in (*found["front"], *found["finalists"])))


def stand_ins(
    space: SearchSpace[Any],
    table: LatencyTable,
    options: argparse.Namespace,
    rng: np.random.Generator,
) -> list[str]:
    return texts_of(space, as_searched(table, space, options.winners, rng))


def texts_of(space: SearchSpace[Any], genes: Genes) -> list[str]:
    return [str(space.from_genes(row)) for row in genes]


def exported(space: SearchSpace[Any], text: str) -> bytes:
    channels = space.input_shape[0]
    card = ModelCard(
        architecture=text,
        dataset="none",
        labels=tuple(map(str, range(space.ways))),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
    )
    module = random_network(space, text)
    return export_onnx(module, input_shape=space.input_shape, metadata=card)


def trust(check: Verification) -> tuple[int, float]:
    return VERDICTS.index(check.measured.verdict), abs(math.log(check.slowdown or 1))


def report_of(
    table: LatencyTable, best: dict[str, Verification], kinds: dict[str, str]
) -> dict[str, Any]:
    """Everything as plain values."""
    space = space_of(table)
    genes = space.encode([space.parse(text) for text in best])
    plain_ms = table.uncalibrated.latency_ms(space, genes)
    rows: list[dict[str, Any]] = [
        {
            "architecture": text,
            "kind": kinds[text],
            "predicted_ms": check.predicted.latency_ms if check.predicted else math.nan,
            "measured_ms": check.measured.median_ms,
            "slowdown": check.slowdown,
            "verdict": check.measured.verdict,
            "outputs_pass": check.outputs_pass,
            "error": (check.ratio or math.nan) - 1,
            "error_at_equal_pace": (check.ratio or math.nan) / (check.slowdown or 1) - 1,
            "plain_error_at_equal_pace": check.measured.median_ms / sum_ms / (check.slowdown or 1)
            - 1,
        }
        for (text, check), sum_ms in zip(best.items(), plain_ms, strict=True)
    ]
    return {
        "device": table.header.device.name,
        "calibration": table.header.calibration.formula if table.header.calibration else "none",
        "outputs_pass": sum(row["outputs_pass"] for row in rows),
        "kinds": {
            kind: {
                "networks": len(own),
                **{name: summary([row[name] for row in own]) for name in ERRORS},
            }
            for kind in ("winner", "random")
            if (own := [row for row in rows if row["kind"] == kind])
        },
        "rows": rows,
    }


def summary(errors: list[float]) -> dict[str, float]:
    off = np.abs(errors)
    return {
        "median": float(np.median(off)),
        "worst": float(off.max()),
        "within_10": float((off <= 0.1).mean()),
        "bias": float(np.mean(errors)),
    }


def as_text(report: dict[str, Any]) -> str:
    return "\n".join(lines(report))


def lines(report: dict[str, Any]) -> Iterator[str]:
    yield f"{'predicted':>10} {'measured':>10} {'error':>8} {'pace':>6} {'equal':>8}  ms"
    for row in report["rows"]:
        yield (
            f"{row['predicted_ms']:10.4f} {row['measured_ms']:10.4f} {row['error']:+8.1%} "
            f"{row['slowdown'] or 1:6.2f} {row['error_at_equal_pace']:+8.1%}  "
            f"{row['kind']:6} {row['verdict']:9} {row['architecture']}"
        )
    yield (
        f"{len(report['rows'])} networks on {report['device']}, outputs pass: "
        f"{report['outputs_pass']}; calibration: {report['calibration']}"
    )
    for kind, found in report["kinds"].items():
        for name, label in ERRORS.items():
            errors = found[name]
            yield (
                f"{found['networks']:3} {kind:6} {label:13} median {errors['median']:.1%}, "
                f"worst {errors['worst']:.1%}, within 10%: {errors['within_10']:.0%}, "
                f"bias {errors['bias']:+.1%}"
            )


if __name__ == "__main__":
    main()
