"""What this machine is, and which runtimes work on it."""

from __future__ import annotations

from collections.abc import Sequence

from metanas_agent import __version__
from metanas_agent.child import Worker
from metanas_agent.errors import MetanasError, RuntimeUnavailableError, WorkerDiedError
from metanas_agent.layers import ConvLayer
from metanas_agent.messages import Description, Error, Measure, Row
from metanas_agent.runtimes import PROGRAM_RUNTIMES, Setup, load_runtime
from metanas_agent.system import System
from metanas_agent.timer import TimerSettings

_PROBE = Measure(
    layers=(ConvLayer(3, 8, 8, out_channels=8, kernel=3, activation="sigmoid", pool=2),),
    settings=TimerSettings(budget_ms=1.0, min_samples=1, sample_ms=0.01),
    runtime="",
)


async def describe(
    runtimes: Sequence[str], *, limit_s: float, accelerator: str = "cpu"
) -> Description:
    """Read the system, and try each runtime on a small layer in a process of its own."""
    working, unavailable = {}, {}
    for name in runtimes:
        try:
            working[name] = await _version(name, limit_s, accelerator)
        except MetanasError as error:
            unavailable[name] = str(error)
    system = System()
    return Description(
        machine=system.machine,
        processor=system.processor(),
        cores=system.cores(),
        memory_bytes=system.memory_bytes(),
        system=system.name(),
        runtimes=working,
        unavailable=unavailable,
        agent_version=__version__,
        emulated=system.emulated(),
        abi=system.abi(),
    )


async def _version(name: str, limit_s: float, accelerator: str) -> str:
    """The runtime's version, once it has run a layer."""
    if name in PROGRAM_RUNTIMES:  # there is nothing to try before a host uploads a program
        return load_runtime(name, Setup(accelerator=accelerator)).version
    try:
        return await _probe(name, limit_s, accelerator)
    except WorkerDiedError as error:
        raise RuntimeUnavailableError(
            f"runtime unavailable: {error.how}", hint=error.hint
        ) from error


async def _probe(name: str, limit_s: float, accelerator: str) -> str:
    async with Worker(accelerator=accelerator) as worker:
        request = Measure(layers=_PROBE.layers, settings=_PROBE.settings, runtime=name)
        await worker.send(request)
        reply = await worker.receive(limit_s=limit_s)
    if isinstance(reply, Error):
        raise reply.exception()
    assert isinstance(reply, Row)
    return reply.measurement.runtime_version
