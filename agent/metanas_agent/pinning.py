"""Pinning: this process stays on the cores that it was given."""

from __future__ import annotations

import os
from dataclasses import replace

from metanas_agent.errors import MeasurementFailedError
from metanas_agent.timer import LAST_CORE, TimerSettings


def pinned(settings: TimerSettings) -> TimerSettings:
    """Pin this process to as many cores as there are threads; the settings with the last of them.

    Threads that it starts later are pinned with it.

    Raises:
        MeasurementFailedError: there are too few cores, or the system does not allow it.
    """
    if settings.core is None:
        return settings
    if not hasattr(os, "sched_setaffinity"):
        if settings.core == LAST_CORE:
            return replace(settings, core=None)
        raise MeasurementFailedError(
            f"cannot pin to core {settings.core}: this system has no processor affinity",
            hint="leave the core to the system",
        )
    usable = sorted(os.sched_getaffinity(0))
    last = usable[-1] if settings.core == LAST_CORE else settings.core
    cores = [*(core for core in usable if core < last), last][-settings.threads :]
    hint = f"usable cores: {', '.join(map(str, usable))}"
    if len(cores) < settings.threads:
        raise MeasurementFailedError(
            f"cannot pin {settings.threads} threads to core {last} and those before it", hint=hint
        )
    try:
        os.sched_setaffinity(0, cores)
    except OSError as error:
        raise MeasurementFailedError(
            f"cannot pin to core {last}: {error.strerror}", hint=hint
        ) from error
    return replace(settings, core=last)
