"""What this machine is, and which runtimes work on it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from metanas_agent import __version__
from metanas_agent.child import Worker
from metanas_agent.errors import (
    MeasurementFailedError,
    MetanasError,
    RuntimeUnavailableError,
    WorkerDiedError,
)
from metanas_agent.layers import DTYPES, ConvLayer
from metanas_agent.messages import Description, Error, Measure, Row
from metanas_agent.runtimes import PROGRAM_RUNTIMES, Setup, load_runtime
from metanas_agent.system import System
from metanas_agent.timer import TimerSettings

_PROBE_SETTINGS = TimerSettings(budget_ms=1.0, min_samples=1, sample_ms=0.01)


class Probed(NamedTuple):
    """What a runtime turned out to be.

    Args:
        version: its own, as rows have it.
        dtypes: in which it has run a layer.
    """

    version: str
    dtypes: tuple[str, ...]


async def describe(
    runtimes: Sequence[str], *, limit_s: float, accelerator: str = "cpu"
) -> Description:
    """Read the system, and try each runtime on a small layer in a process of its own."""
    working, unavailable = {}, {}
    for name in runtimes:
        try:
            working[name] = await _try(name, limit_s, accelerator)
        except MetanasError as error:
            unavailable[name] = str(error)
    system = System()
    return Description(
        machine=system.machine,
        processor=system.processor(),
        cores=system.cores(),
        memory_bytes=system.memory_bytes(),
        system=system.name(),
        runtimes={name: probed.version for name, probed in working.items()},
        dtypes={name: " ".join(probed.dtypes) for name, probed in working.items()},
        unavailable=unavailable,
        agent_version=__version__,
        emulated=system.emulated(),
        abi=system.abi(),
    )


async def _try(name: str, limit_s: float, accelerator: str) -> Probed:
    """The runtime, once it has run a layer."""
    if name in PROGRAM_RUNTIMES:  # there is nothing to try before a host uploads a program
        runtime = load_runtime(name, Setup(accelerator=accelerator))
        return Probed(runtime.version, runtime.dtypes)
    try:
        async with Worker(accelerator=accelerator) as worker:
            usual, *others = DTYPES
            version = await _probe(worker, name, limit_s, usual)
            dtypes = [usual]
            for dtype in others:
                with suppress(MeasurementFailedError):
                    await _probe(worker, name, limit_s, dtype)
                    dtypes.append(dtype)
    except WorkerDiedError as error:
        raise RuntimeUnavailableError(
            f"runtime unavailable: {error.how}", hint=error.hint
        ) from error
    return Probed(version, tuple(dtypes))


async def _probe(worker: Worker, name: str, limit_s: float, dtype: str) -> str:
    """Run a layer; the runtime's version."""
    layer = ConvLayer(3, 8, 8, out_channels=8, kernel=3, activation="sigmoid", pool=2, dtype=dtype)
    await worker.send(Measure(layers=(layer,), settings=_PROBE_SETTINGS, runtime=name))
    reply = await worker.receive(limit_s=limit_s)
    if isinstance(reply, Error):
        raise reply.exception()
    assert isinstance(reply, Row)
    await worker.receive(limit_s=limit_s)  # that it is done
    return reply.measurement.runtime_version
