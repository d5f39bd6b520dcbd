"""How long a table of the VGG9 space takes to load, and a million architectures to be priced.

    python benchmarks/table_speed.py [--input 1x28x28] [--architectures 1000000] [--json]

The table's times are of the Eyeriss simulator, and its rows are filled up as measured ones are:
each with an interval, clocks, temperatures, an energy and counts of its own, and some with a reason
why they are noisy. Times are of the first and of the best of several runs in one process on one
core; `cpu` is the time of the processor in the best run, which others on the machine lengthen less.
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
from metanas.profiling.table import rounded
from metanas.search import Costs
from metanas.spaces import make_space
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings

REPEATS = 15
NOISY_SHARE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--input", type=input_shape, default=(1, 28, 28), metavar="CxHxW")
    parser.add_argument("--architectures", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measured(options.input, options.architectures)
    print(json.dumps(found, indent=2) if options.json else report(found))


def measured(shape: tuple[int, int, int], architectures: int) -> dict[str, Any]:
    """Seconds of each step, of the first run and of the best."""
    space = make_space("vgg9", input_shape=shape, ways=5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.tsv"
        write_table(like_measured(space), path)
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


def like_measured(space: Any) -> LatencyTable:
    """No two rows of a board have the same numbers, and parsing alike ones could be spared."""
    device = open_device("eyeriss")
    rng = np.random.default_rng(0)
    rows = device.measure([CALL, *space.all_layers], TimerSettings())
    header = TableHeader(device.describe(), (space.settings,), {}, None, {})
    return LatencyTable(header, {row.key: measured_alike(row, rng) for row in rows})


def measured_alike(row: Measurement, rng: np.random.Generator) -> Measurement:
    median_ms = row.median_ms + rng.uniform(0.002, 0.003)
    interval, spread = rng.uniform(0.002, 0.02), rng.uniform(0.02, 0.05)
    clock_mhz, temperature_c = rng.uniform(1490, 1500), rng.uniform(45, 65)
    noisy = rng.random() < NOISY_SHARE
    varied = replace(
        row,
        median_ms=median_ms,
        low_ms=median_ms * (1 - interval),
        high_ms=median_ms * (1 + interval),
        p10_ms=median_ms * (1 - spread),
        p90_ms=median_ms * (1 + spread),
        samples=int(rng.integers(11, 900)),
        repeats=int(rng.integers(1, 60)),
        clock_mhz_before=round(clock_mhz, 3),
        clock_mhz_after=round(clock_mhz + rng.uniform(-2, 2), 3),
        governor="performance",
        temperature_c_before=round(temperature_c, 1),
        temperature_c_after=round(temperature_c + rng.uniform(0, 1), 1),
        throttled_before=0,
        throttled_after=0,
        energy_mj=float(f"{median_ms * rng.uniform(2, 3):.6g}"),
        verdict="noisy" if noisy else "trusted",
        reason=f"the median is known to ±{interval:.2%} only" if noisy else "",
    )
    return rounded(varied)


def seconds(step: Callable[[], object], *, repeats: int = REPEATS) -> dict[str, float]:
    """Wall time of the first and of the best run, and the least processor time of a run."""
    times, cpu = [], []
    for _ in range(repeats):
        started, cpu_started = time.perf_counter(), time.process_time()
        result = step()
        times.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_started)
        del result
    return {"first": times[0], "best": min(times), "cpu": min(cpu)}


def report(found: dict[str, Any]) -> str:
    rows = f"{found['rows']} rows ({found['file_bytes'] / 1e3:.0f} kB)"
    many = f"{found['architectures']:,} architectures"
    steps = {
        f"load {rows}": "load_s",
        f"latency of {many}": "price_s",
        f"memory of {many}": "memory_s",
    }
    return "\n".join(
        f"{what}: first {found[name]['first'] * 1e3:.1f} ms, best {found[name]['best'] * 1e3:.1f} "
        f"ms ({found[name]['cpu'] * 1e3:.1f} ms of the processor)"
        for what, name in steps.items()
    )


if __name__ == "__main__":
    main()
