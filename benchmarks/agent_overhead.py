"""What the agent adds to the time that a measurement takes, for layers of more than a millisecond.

    python benchmarks/agent_overhead.py [--budget-ms 200] [--json]

A real host asks a real agent on this machine, whose worker keeps an account of what the runtime
was asked to do. A row's wall time, seen by the host, is the sum of

- preparation: the runtime builds the layer, and lets go of it in the end;
- warm-up: calls before the first sample, and samples of a measurement that was disturbed;
- samples: what the row is made of;
- sentinel: the fixed work before and after, which says whether the machine was disturbed;
- overhead: everything else, such as statistics, reading clocks and temperatures, and transport.

Only the last is the agent's own, and is to stay below 1%.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from metanas.devices import LocalAgent
from metanas_agent import runtimes
from metanas_agent.layers import EmptyLayer, LayerSpec, parse_layer
from metanas_agent.measurement import Measurement
from metanas_agent.sampler import Sampler
from metanas_agent.timer import TimerSettings

ACCOUNT = "METANAS_OVERHEAD_ACCOUNT"
PARTS = ("preparation", "warm-up", "samples", "sentinel", "overhead")
EDGE = EmptyLayer(1, 1, 1)
LAYERS = (
    "conv/64x42x42/c64/k5/s1/relu/p2/float32",
    "conv/64x84x84/c64/k3/s1/relu/p2/float32",
    "conv/128x42x42/c128/k3/s1/relu/p2/float32",
    "conv/64x84x84/c64/k5/s1/relu/p2/float32",
    "conv/64x84x84/c64/k7/s1/relu/p2/float32",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--budget-ms", type=float, default=200.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder), options.budget_ms, options.rounds)
    print(json.dumps(rows, indent=2) if options.json else table(rows))


def measured(folder: Path, budget_ms: float, rounds: int) -> list[dict[str, Any]]:
    """Time layers through an agent; of each row its wall time and its parts, in milliseconds."""
    account = folder / "account.jsonl"
    (folder / "sitecustomize.py").write_text(
        f"import sys; sys.path.append({str(Path(__file__).parent)!r})\n"
        "if 'metanas_agent.worker' in sys.orig_argv:\n"
        "    import agent_overhead; agent_overhead.keep_account()\n"
    )
    os.environ |= {"PYTHONPATH": str(folder), ACCOUNT: str(account)}
    # The first row waits for the worker to start, and the last one's account is never closed.
    layers = [EDGE, *map(parse_layer, LAYERS * rounds), EDGE]
    with LocalAgent() as agent:
        answers = [
            (time.perf_counter(), measurement)
            for measurement in agent.measure(layers, TimerSettings(budget_ms=budget_ms))
        ]
    entries = [json.loads(line) for line in account.read_text().splitlines()]
    return [
        parts((now - before) * 1e3 - entry["account_ms"], measurement, entry)
        for (before, _), (now, measurement), entry in zip(
            answers[:-2], answers[1:-1], entries[1:], strict=True
        )
    ]


def parts(wall_ms: float, measurement: Measurement, entry: dict[str, Any]) -> dict[str, Any]:
    assert entry["key"] == measurement.key
    known = {
        "preparation": entry["preparation_ms"],
        "warm-up": sum(entry["calls_ms"][: -measurement.samples]),
        "samples": sum(entry["calls_ms"][-measurement.samples :]),
        "sentinel": entry["sentinel_ms"],
    }
    overhead = {"overhead": wall_ms - sum(known.values())}
    latency = {"layer": measurement.key, "latency_ms": measurement.median_ms, "wall_ms": wall_ms}
    return latency | known | overhead


def table(rows: list[dict[str, Any]]) -> str:
    heads = "".join(f"{part:>13}" for part in PARTS)
    lines = [f"{'layer':<42}{'latency, ms':>12}{'wall, ms':>11}{heads}"]
    for layer in LAYERS:
        lines.append(line(layer, [row for row in rows if row["layer"] == layer]))
    lines += [line("all", rows), "Parts as shares of the wall time, over all rounds together."]
    return "\n".join(lines)


def line(name: str, rows: list[dict[str, Any]]) -> str:
    latency = statistics.median(row["latency_ms"] for row in rows)
    wall = sum(row["wall_ms"] for row in rows)
    shares = "".join(f"{sum(row[part] for row in rows) / wall:>13.2%}" for part in PARTS)
    return f"{name:<42}{latency:>12.2f}{wall / len(rows):>11.1f}{shares}"


def keep_account() -> None:
    """In a worker: write down what every runtime that it loads is asked to do."""
    load = runtimes.load_runtime
    runtimes.load_runtime = lambda *arguments: AccountedRuntime(load(*arguments))


class AccountedRuntime:
    """A runtime that closes a layer's account when it is asked for the next layer."""

    def __init__(self, runtime: runtimes.Runtime) -> None:
        self._runtime = runtime
        self._entry: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def prepare(self, layer: LayerSpec, *, seed: int) -> Sampler:
        begin = time.perf_counter()
        if self._entry:
            with Path(os.environ[ACCOUNT]).open("a") as file:
                file.write(json.dumps(self._entry) + "\n")
        self._entry = {"key": layer.key, "calls_ms": [], "sentinel_ms": 0.0}
        self._entry["account_ms"] = (time.perf_counter() - begin) * 1e3
        begin = time.perf_counter()
        sampler = self._runtime.prepare(layer, seed=seed)
        self._entry["preparation_ms"] = (time.perf_counter() - begin) * 1e3
        return AccountedSampler(sampler, self._entry)

    def sentinel(self) -> Sampler:
        sampler = self._runtime.sentinel()

        def sample(repeats: int) -> float:
            elapsed_ms = sampler(repeats)
            if self._entry:
                self._entry["sentinel_ms"] += elapsed_ms
            return elapsed_ms

        return sample


class AccountedSampler:
    def __init__(self, sampler: Sampler, entry: dict[str, Any]) -> None:
        self._sampler, self._entry = sampler, entry

    def __call__(self, repeats: int) -> float:
        elapsed_ms = self._sampler(repeats)
        self._entry["calls_ms"].append(elapsed_ms)
        return elapsed_ms

    def __del__(self) -> None:
        begin = time.perf_counter()
        del self._sampler
        self._entry["preparation_ms"] += (time.perf_counter() - begin) * 1e3


if __name__ == "__main__":
    main()
