"""The child process that touches native code, so that a crash is a result and not an outage.

It answers `Measure` and `RunModel` frames on standard input with frames on standard output, and
ends when standard input does: it never outlives the agent.
"""

from __future__ import annotations

import hashlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from metanas_agent.cold_cache import USUAL_CACHE_BYTES, CacheFiller
from metanas_agent.errors import MeasurementFailedError, MetanasError, RuntimeUnavailableError
from metanas_agent.layers import LayerSpec, dtypes_of
from metanas_agent.measuring import Gauge
from metanas_agent.message import Message
from metanas_agent.messages import Done, Error, Measure, Result, Row, RunModel
from metanas_agent.pinning import pinned
from metanas_agent.protocol import encode, read_message
from metanas_agent.runtimes import Runtime, Setup, load_runtime
from metanas_agent.sentinel import Sentinel
from metanas_agent.system import System
from metanas_agent.timer import TimerSettings

_BYTES_PER_VALUE = 4
_FITS_ANYWHERE_BYTES = 16 * 1024**2


def main() -> None:
    """Answer requests until standard input ends.

    The command line names the accelerator and the path of an uploaded program, which may be empty.
    """
    accelerator, artifact = sys.argv[1:]
    _be_first_to_die()
    requests, replies = _take_standard_streams()
    pending: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests, pending), daemon=True).start()
    setup = Setup(accelerator=accelerator, artifact=Path(artifact) if artifact else None)
    while True:
        for reply in _answer(pending.get(), setup):
            replies.write(encode(reply))
            replies.flush()


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the frames' streams for ourselves; what native code prints goes to standard error."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def _read_requests(requests: BinaryIO, pending: queue.SimpleQueue[Message]) -> None:
    """Pass requests on; end at once, whatever is going on, when the agent is gone."""
    try:
        while (request := read_message(requests)) is not None:
            pending.put(request)
    finally:
        _end_process_group()


def _end_process_group() -> None:
    """End this process and the programs that it started, and leave nothing behind."""
    if os.getpgrp() == os.getpid():
        with suppress(OSError):
            Path.cwd().rmdir()
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def _answer(request: Message, setup: Setup) -> Iterator[Message]:
    try:
        if isinstance(request, Measure):
            yield from _measure(request, setup)
        elif isinstance(request, RunModel):
            yield _run_model(request, setup)
    except MetanasError as error:
        yield Error.of(error)


def _measure(request: Measure, setup: Setup) -> Iterator[Message]:
    bench = _prepare(request, setup)
    settings = request.settings
    for layer in request.layers:
        try:
            _check_dtype(layer, bench.runtime)
            _check_memory(layer, settings.batch, bench.system)
            sampler = bench.runtime.prepare(layer, seed=settings.seed)
            measurement = bench.gauge.measure(sampler, key=layer.key)
        except Exception as error:
            raise _failure(layer.key, error) from error
        del sampler  # its memory is for the next
        yield Row(measurement=measurement)
    yield Done()


def _run_model(request: RunModel, setup: Setup) -> Result:
    bench = _prepare(request, setup)
    try:
        model = bench.runtime.load(request.model)
        outputs = model.run(request.inputs)
        key = request.artifact or hashlib.sha256(request.model).hexdigest()
        latency = bench.gauge.measure(model.prepare(request.inputs), key=key)
    except Exception as error:
        raise _failure("the model", error) from error
    peak_bytes = model.peak_memory_bytes() or _peak_memory_bytes()
    return Result(outputs=outputs, latency=latency, peak_memory_bytes=peak_bytes)


class _Bench(NamedTuple):
    runtime: Runtime
    system: System
    gauge: Gauge


def _prepare(request: Measure | RunModel, setup: Setup) -> _Bench:
    """Pin this process as asked, and get ready what all rows of the job need."""
    settings = pinned(request.settings)
    on_cpu = setup.accelerator == "cpu"
    if settings.cache == "cold" and not on_cpu:
        raise RuntimeUnavailableError(
            f"caches of {setup.accelerator} cannot be made cold",
            hint="only the processor's can; measure with warm caches",
        )
    setup = replace(setup, batch=settings.batch, threads=settings.threads)
    runtime, system = load_runtime(request.runtime, setup), System()
    gauge = Gauge(
        settings,
        runtime,
        system,
        Sentinel(runtime.sentinel()),
        source="emulated" if system.emulated() else "measured",
        energy=system.energy_counter(settings.core) if settings.energy and on_cpu else None,
        fill_caches=_cache_filler(settings, system),
    )
    return _Bench(runtime, system, gauge)


def _cache_filler(settings: TimerSettings, system: System) -> CacheFiller | None:
    if settings.cache == "warm":
        return None
    return CacheFiller(system.last_cache_bytes(settings.core) or USUAL_CACHE_BYTES)


def _failure(subject: str, error: Exception) -> MetanasError:
    if isinstance(error, MetanasError):
        return error
    text = (str(error).splitlines() or [""])[0][:300]
    return MeasurementFailedError(f"{subject}: {type(error).__name__}: {text}")


def _check_dtype(layer: LayerSpec, runtime: Runtime) -> None:
    """A runtime that knows only one dtype may not look at it, and would time another layer."""
    if unknown := dtypes_of([layer]).difference(runtime.dtypes):
        raise MeasurementFailedError(
            f"{layer.key}: the runtime {runtime.name} computes in "
            f"{' or '.join(runtime.dtypes)}, not in {unknown.pop()}",
            hint="int8 takes the runtime onnx",
        )


def _check_memory(layer: LayerSpec, batch: int, system: System) -> None:
    """Refuse what cannot fit, before the system starts killing processes to make room."""
    channels, height, width = layer.input_shape
    outputs = max(getattr(layer, "out_channels", 1), channels) * height * width
    needed = _BYTES_PER_VALUE * (batch * (channels * height * width + outputs) + layer.params)
    if needed < _FITS_ANYWHERE_BYTES:
        return
    available = system.available_memory_bytes()
    if available is not None and needed > available:
        raise MeasurementFailedError(
            f"{layer.key}: needs {needed:,} bytes of memory, {available:,} are free",
            hint="measure smaller layers on this device",
        )


def _peak_memory_bytes() -> int | None:
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _be_first_to_die() -> None:
    """Where memory runs out, the system should end this process and not the agent."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    main()
