"""ReconnectingDevice: a device whose link may break, and whose board may be switched off and on.

Back-off is exponential with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015), so that many hosts do not come back at the same instant.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from math import ceil
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from metanas.closing import Closing
from metanas.devices.device import Device, DeviceDescription, ModelRun
from metanas.errors import (
    AgentUnreachableError,
    CorruptFrameError,
    DeviceBusyError,
    LeaseLostError,
    MetanasError,
)
from metanas_agent.finding import Finding
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings

T = TypeVar("T")

PATIENCE_S = 600.0

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_LOST = (AgentUnreachableError, CorruptFrameError, LeaseLostError)


class ReconnectingDevice(Closing):
    """Asks again, over a new connection, for what was not answered. Connects at once.

    Each row is yielded once and in order. The first connection must succeed.

    Args:
        connect: makes the device; it is given the session, the same each time, by which the agent
            knows that it is the same host that comes back.
        patience_s: give up when nothing was answered for so long since the link was lost.
        on_wait: told, in a line for people, whenever it waits.

    Raises:
        MetanasError: whatever `connect` raises.
    """

    def __init__(
        self,
        connect: Callable[[str], Device],
        *,
        patience_s: float = PATIENCE_S,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._connect = connect
        self._patience_s = patience_s
        self._on_wait = on_wait
        self._session = secrets.token_hex(16)
        self._device: Device | None = connect(self._session)
        self._name = self._device.name

    @property
    def name(self) -> str:
        """The name that the host knows it by."""
        return self._name

    def describe(self) -> DeviceDescription:
        """See `Device`."""
        return self._until_answered(lambda device: device.describe())

    def examine(self) -> tuple[Finding, ...]:
        """See `Device`."""
        return self._until_answered(lambda device: device.examine())

    def measure(
        self, layers: Sequence[LayerSpec], settings: TimerSettings
    ) -> Iterator[Measurement]:
        """See `Device`."""
        patience = self._new_patience()
        done = 0
        while True:
            try:
                rows = self._connected().measure(layers[done:], settings)
                with closing(cast("Generator[Measurement, None, None]", rows)):
                    for row in rows:
                        yield row
                        done += 1
                        patience.renew()
            except (*_LOST, DeviceBusyError) as error:
                if layers and done == len(layers):
                    self._let_go()
                    return
                self._wait(patience, error)
            else:
                return

    def run_model(
        self, model: bytes, inputs: NDArray[np.float32], settings: TimerSettings
    ) -> ModelRun:
        """See `Device`."""
        return self._until_answered(lambda device: device.run_model(model, inputs, settings))

    def close(self) -> None:
        """Hang up; the agent stops a running job."""
        self._let_go()

    def _until_answered(self, ask: Callable[[Device], T]) -> T:
        patience = self._new_patience()
        while True:
            try:
                return ask(self._connected())
            except (*_LOST, DeviceBusyError) as error:
                self._wait(patience, error)

    def _connected(self) -> Device:
        if self._device is None:
            self._device = self._connect(self._session)
        return self._device

    def _let_go(self) -> None:
        if self._device:
            self._device.close()
            self._device = None

    def _wait(self, patience: _Patience, error: MetanasError) -> None:
        if isinstance(error, DeviceBusyError) and not patience.waiting:
            raise error  # another host's job; only one that came while we were away is waited for
        self._let_go()
        wait_s = patience.next_wait_s()
        if wait_s is None:
            raise error
        self._on_wait(f"lost {self._name}: {error.what}; trying again in {ceil(wait_s)} s")
        time.sleep(wait_s)

    def _new_patience(self) -> _Patience:
        return _Patience(self._patience_s)


class _Patience:
    """How long to wait before the next attempt, and when to give up."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self.renew()

    def renew(self) -> None:
        """Something was answered."""
        self._most_s = _FIRST_WAIT_S
        self._end_s: float | None = None

    @property
    def waiting(self) -> bool:
        """Whether the link was lost, and nothing has been answered since."""
        return self._end_s is not None

    def next_wait_s(self) -> float | None:
        """Seconds to wait now; None to give up."""
        now = time.monotonic()
        if self._end_s is None:
            self._end_s = now + self._patience_s
        left_s = self._end_s - now
        if left_s <= 0:
            return None
        wait_s = random.uniform(0, self._most_s)
        self._most_s = min(2 * self._most_s, _LONGEST_WAIT_S)
        return min(wait_s, left_s)
