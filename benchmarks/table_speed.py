"""How long a table of the VGG9 space takes to load, and a million architectures to be priced.

    python benchmarks/table_speed.py [--input 1x28x28] [--architectures 1000000] [--json]

The table's times are of the Eyeriss simulator, and its rows are filled up with the evidence that
a measured row has, since reading a table takes as long whatever the numbers are. Times are the
least of several runs, in one process on one core; `first` is the first run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from input_shape import input_shape
from metanas.devices import open_device
from metanas.profiling import CALL, LatencyTable, TableHeader, read_table, write_table
from metanas.search import Costs
from metanas.spaces import make_space
from metanas_agent.timer import TimerSettings

REPEATS = 15
EVIDENCE: dict[str, Any] = {
    "clock_mhz_before": 1500.0,
    "clock_mhz_after": 1500.0,
    "governor": "performance",
    "temperature_c_before": 51.2,
    "temperature_c_after": 51.7,
    "throttled_before": 0,
    "throttled_after": 0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--input", type=input_shape, default=(1, 28, 28), metavar="CxHxW")
    parser.add_argument("--architectures", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measured(options.input, options.architectures)
    print(json.dumps(found, indent=2) if options.json else report(found))


def measured(shape: tuple[int, int, int], architectures: int) -> dict[str, Any]:
    """Seconds of each step, first and least."""
    space = make_space("vgg9", input_shape=shape, ways=5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.tsv"
        write_table(simulated(space), path)
        size_bytes = path.stat().st_size
        load = seconds(lambda: read_table(path))
        table = read_table(path)
    costs = Costs(space, {"eyeriss": table})
    genes = space.sample(architectures, np.random.default_rng(0))
    return {
        "rows": len(table.rows),
        "file_bytes": size_bytes,
        "architectures": architectures,
        "load_s": load,
        "price_s": seconds(lambda: costs.of("latency_ms[eyeriss]", genes), repeats=3),
        "memory_s": seconds(lambda: costs.of("memory_bytes", genes), repeats=3),
    }


def simulated(space: Any) -> LatencyTable:
    device = open_device("eyeriss")
    rows = device.measure([CALL, *space.all_layers], TimerSettings())
    header = TableHeader(device.describe(), (space.settings,), {}, None, {})
    return LatencyTable(header, {row.key: replace(row, **EVIDENCE) for row in rows})


def seconds(step: Callable[[], object], *, repeats: int = REPEATS) -> dict[str, float]:
    """Wall time of the first and of the fastest run."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = step()
        times.append(time.perf_counter() - started)
        del result
    return {"first": times[0], "least": min(times)}


def report(found: dict[str, Any]) -> str:
    rows = f"{found['rows']} rows ({found['file_bytes'] / 1e3:.0f} kB)"
    many = f"{found['architectures']:,} architectures"
    steps = {
        f"load {rows}": "load_s",
        f"latency of {many}": "price_s",
        f"memory of {many}": "memory_s",
    }
    return "\n".join(
        f"{what}: {found[name]['least'] * 1e3:.1f} ms (first {found[name]['first'] * 1e3:.1f} ms)"
        for what, name in steps.items()
    )


if __name__ == "__main__":
    main()
