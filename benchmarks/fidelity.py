"""Which sums of layers predict whole networks? ONNX Runtime on this machine, one thread.

    python benchmarks/fidelity.py [--space vgg9] [--input 1x28x28] [--networks 200] [--json]

Random networks of a space are timed, and predicted by

- layers alone: each layer's graph timed by itself;
- alone - call: each minus an empty graph, which is a call of the runtime, and one call;
- between neighbours - call: layers as the runtime lays them out inside a network (`onnx_inside`);
- nodes of networks: per-layer times by the runtime's profiler, out of other networks that hold
  the layers, and one call;
- least squares: `alone - call`, corrected by whole-network times of those other networks;
- + correction: `alone - call` and `between neighbours - call`, corrected as `metanas.profiling`
  does it, by 20 other random networks: by a line, or one with the parameters' bytes.

`--clock processor` counts this process's own time, for machines that others use too: a network
of milliseconds is seldom run without a break there. It does not undo that others fill the caches.
With --without-covering the schemes that need hundreds of other networks are left out. All of it is
timed in one shuffled run with a sentinel around every timing. Timings beside a
sentinel that is off its median are made again; of the trusted ones the fastest is kept. `noise`
compares two halves of the timings of the same networks: no scheme can be seen to be better.

`timings` and `seconds` are what a table of the whole space takes, one timing a row and network, by
what a timing took here, the sentinel apart. Networks that cover all layers are taken to be as many
as there are layers at one position, which is the fewest.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from covering import choose_networks, names_of
from fidelity_schemes import Results
from fidelity_tasks import CLOCKS, Clock
from input_shape import input_shape
from interleaved import Run, time_interleaved
from metanas.profiling.fidelity import FEWEST_NETWORKS, additivity
from metanas.spaces import SPACES, make_space
from metanas_agent.pinning import pinned
from metanas_agent.timer import TimerSettings


def main() -> None:
    options = parse_options()
    space = make_space(options.space, input_shape=options.input, ways=5)
    rng = np.random.default_rng(options.seed)
    networks = choose_networks(
        space, options.networks, options.line_networks, rng, covered=not options.without_covering
    )
    budget = pinned(TimerSettings(budget_ms=options.budget_ms, seed=options.seed))
    clock = Clock(space, budget, options.clock)
    run = time_interleaved(
        clock.tasks(networks), clock.sentinel(), rounds=options.rounds, again=options.again, rng=rng
    )
    report = report_of(Results(space, networks, run), run)
    print(json.dumps(report, indent=2) if options.json else as_text(report))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--space", choices=SPACES, default="vgg9")
    parser.add_argument("--input", type=input_shape, default=(1, 28, 28), metavar="CxHxW")
    parser.add_argument("--networks", type=int, default=200, help="that are predicted")
    parser.add_argument(
        "--line-networks", type=int, default=20, help="that corrections are fitted to"
    )
    parser.add_argument(
        "--without-covering", action="store_true", help="leave out what needs hundreds of networks"
    )
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget-ms", type=float, default=10.0, help="a layer and timing")
    parser.add_argument("--rounds", type=int, default=2, help="trusted timings wanted")
    parser.add_argument("--again", type=int, default=3, help="more passes for those that lack some")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if min(options.networks, options.line_networks) < FEWEST_NETWORKS:
        parser.error(f"--networks and --line-networks are at least {FEWEST_NETWORKS}")
    return options


def report_of(results: Results, run: Run) -> dict[str, Any]:
    """Everything as plain values."""
    measured_ms, sentinel_ms, noise = results.measured_ms, run.sentinel_ms, results.noise()
    trusted = [bool(run.trusted(name)) for name in run.timings]
    return {
        "space": results.space.settings,
        "networks": len(measured_ms),
        "covering_networks": len(results.networks.covering),
        "network_ms": [float(q) for q in np.quantile(measured_ms, (0, 0.5, 1))],
        "call_ms": results.call_ms,
        "sentinel_ms": [float(q) for q in np.quantile(sentinel_ms, (0.1, 0.5, 0.9))],
        "processor_share": run.processor_share,
        "tasks": len(trusted),
        "never_trusted": trusted.count(False),
        "timings": sum(len(timings) for timings in run.timings.values()),
        "schemes": {
            scheme.name: {
                **asdict(additivity(scheme.predicted_ms, measured_ms)),
                "timings": scheme.timings,
                "seconds": scheme.seconds,
                "predicted_ms": scheme.predicted_ms.tolist(),
            }
            for scheme in results.schemes()
        },
        "noise": asdict(noise) if noise else None,
        "architectures": names_of(results.space, results.networks.tested),
        "measured_ms": measured_ms.tolist(),
    }


def as_text(report: dict[str, Any]) -> str:
    low, middle, high = report["network_ms"]
    slow = [at / report["sentinel_ms"][1] - 1 for at in report["sentinel_ms"]]
    lines = [
        f"{report['networks']} networks of {low:.3g} to {high:.3g} ms, median {middle:.3g} ms; "
        f"a call takes {report['call_ms']:.4f} ms",
        f"{report['timings']} timings of {report['tasks']} things, {report['never_trusted']} of "
        f"them never trusted; sentinel p10 {slow[0]:+.1%}, p90 {slow[2]:+.1%} off its median; "
        f"this process had {report['processor_share']:.0%} of its core",
        "",
        f"{'':38}{'bias':>8}{'mean':>8}{'worst':>8}{'in 5%':>8}{'in 10%':>8}{'tau':>8}"
        f"{'timings':>9}{'seconds':>9}",
    ]
    lines += [line(name, row) for name, row in report["schemes"].items()]
    if report["noise"]:
        lines.append(line("noise (networks, two halves)", report["noise"]))
    return "\n".join(lines)


def line(name: str, row: dict[str, float]) -> str:
    text = (
        f"{name:38}{row['bias']:8.2%}{row['mean_error']:8.2%}{row['worst_error']:8.1%}"
        f"{row['within_5']:8.1%}{row['within_10']:8.1%}{row['tau']:8.3f}"
    )
    return text + (f"{row['timings']:9}{row['seconds']:9.0f}" if "timings" in row else "")


if __name__ == "__main__":
    main()
