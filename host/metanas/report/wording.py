"""Numbers as people read them."""

from __future__ import annotations

from metanas.report.records import Accuracy, energy_device, latency_device

SPACE = "\xa0"
"""Keeps a number and its unit on one line."""

_MICROSECOND = 1e-3

_COST_AXES = {
    "macs": "MACs",
    "params": "parameters",
    "size_bytes": "size (bytes)",
    "memory_bytes": "memory (bytes)",
}


def milliseconds(value: float) -> str:
    """Three significant digits: `0.0123 ms`, `1.20 ms`, `123 ms`; `<0.001 ms` below that."""
    number = f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:.0f}"
    return f"{number if value >= _MICROSECOND else '<0.001'}{SPACE}ms"


def millijoules(value: float) -> str:
    """Three significant digits: `0.0123 mJ`, `1.20 mJ`, `1234 mJ`."""
    number = f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:.0f}"
    return f"{number}{SPACE}mJ"


def count(value: float) -> str:
    """As the papers count: `512`, `113.21K`, `10.07M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if value >= size:
            return f"{value / size:.2f}{unit}"
    return f"{value:g}"


def size(value_bytes: float) -> str:
    """`812 B`, `452.8 kB`, `1.2 MB`."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if value_bytes >= scale:
            return f"{value_bytes / scale:.1f}{SPACE}{unit}"
    return f"{value_bytes:g}{SPACE}B"


def percent(share: float) -> str:
    """`93.42%`."""
    return f"{share:.2%}"


def accuracy(value: Accuracy) -> str:
    """`93.42% ± 0.51`: a share and half its 95% interval, both in percent."""
    return f"{percent(value.accuracy)}{SPACE}±{SPACE}{value.interval * 100:.2f}"


def cost_axis(cost: str) -> str:
    """`predicted latency on pi0 (ms)` for `latency_ms[pi0]`; `MACs` for `macs`."""
    if device := latency_device(cost):
        return f"predicted latency on {device} (ms)"
    if device := energy_device(cost):
        return f"predicted energy on {device} (mJ)"
    return _COST_AXES.get(cost, cost)
