"""AgentDevice: a device reached through the agent that runs on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from metanas.devices.connection import Connection
from metanas.devices.device import DeviceDescription, ModelRun
from metanas.errors import (
    DeviceBusyError,
    MeasurementFailedError,
    MetanasError,
    ProtocolError,
    RuntimeUnavailableError,
)
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.messages import (
    Cancel,
    Describe,
    Description,
    Done,
    Measure,
    Message,
    Result,
    Row,
    RunModel,
)
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import Tensor

M = TypeVar("M", bound=Message)

_JOB_ERRORS = (DeviceBusyError, MeasurementFailedError, RuntimeUnavailableError)
"""The job failed, and the connection is as good as before."""


class AgentDevice:
    """A device behind an agent. Connects at once.

    Args:
        name: the name that the host knows it by.
        host: name or address of the agent.
        port: where it listens.
        runtime: the agent's runtime that shall do the work.

    Raises:
        AgentUnreachableError: nothing answers there.
        VersionMismatchError: the agent speaks another major version of the protocol.
    """

    def __init__(self, name: str, host: str, port: int, *, runtime: str = "onnx") -> None:
        self._name = name
        self._runtime = runtime
        self._measuring = False
        self._connection = Connection(host, port)

    @property
    def name(self) -> str:
        """The name that the host knows it by."""
        return self._name

    def describe(self) -> DeviceDescription:
        """See `Device`."""
        answer = self._ask(Describe(), Description)
        return DeviceDescription(
            name=self._name,
            machine=answer.machine,
            processor=answer.processor,
            cores=answer.cores,
            memory_bytes=answer.memory_bytes,
            system=answer.system,
            runtimes=answer.runtimes,
            unavailable=answer.unavailable,
            source="measured",
            agent_version=answer.agent_version,
        )

    def measure(
        self, layers: Sequence[LayerSpec], settings: TimerSettings
    ) -> Iterator[Measurement]:
        """See `Device`. Closing the iterator early stops the job."""
        self._refuse_while_measuring()
        request = Measure(layers=tuple(layers), settings=settings, runtime=self._runtime)
        self._measuring = True
        try:
            self._connection.send(request, work_s=_longest_reply_s(settings))
            for layer in layers:
                yield self._row_of(layer)
            self._connection.receive(Done)
        except GeneratorExit:
            self._cancel()
            raise
        except _JOB_ERRORS:
            raise
        except BaseException:  # nonsense, or Ctrl-C inside a frame: the stream is of no more use
            self._connection.close()
            raise
        finally:
            self._measuring = False

    def run_model(
        self, model: bytes, inputs: NDArray[np.float32], settings: TimerSettings
    ) -> ModelRun:
        """See `Device`."""
        images = np.ascontiguousarray(inputs, "<f4")
        request = RunModel(
            model=model,
            inputs=Tensor(images.tobytes(), images.shape),
            settings=settings,
            runtime=self._runtime,
        )
        result = self._ask(request, Result, work_s=_longest_reply_s(settings))
        self._check_measured(result.latency)
        if result.outputs.shape[0] != len(images):
            raise ProtocolError(
                f"{self._name}: {result.outputs.shape[0]} outputs for {len(images)} images",
                hint="export the model so that one image gives one output",
            )
        outputs = np.frombuffer(result.outputs.data, "<f4").reshape(result.outputs.shape)
        return ModelRun(outputs.astype(np.float32), result.latency, result.peak_memory_bytes)

    def close(self) -> None:
        """Hang up; the agent stops a running job."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, request: Message, answer: type[M], *, work_s: float = 0.0) -> M:
        self._refuse_while_measuring()
        self._connection.send(request, work_s=work_s)
        return self._connection.receive(answer)

    def _row_of(self, layer: LayerSpec) -> Measurement:
        measurement = self._connection.receive(Row).measurement
        if measurement.key != layer.key:
            raise ProtocolError(f"{self._name}: asked for {layer}, got {measurement.key[:200]!r}")
        self._check_measured(measurement)
        return measurement

    def _check_measured(self, measurement: Measurement) -> None:
        if measurement.source != "measured":
            raise ProtocolError(f"{self._name}: an agent's row is said to be {measurement.source}")

    def _refuse_while_measuring(self) -> None:
        if self._measuring:
            raise DeviceBusyError(
                f"{self._name} is measuring for this program already",
                hint="finish or close that iterator first",
            )

    def _cancel(self) -> None:
        """Stop the job and read what was under way, so that the connection can be used again."""
        try:
            self._connection.send(Cancel())
            while not isinstance(self._connection.receive(Row, Done), Done):
                pass
        except MetanasError:
            self._connection.close()


def _longest_reply_s(settings: TimerSettings) -> float:
    """Longest that one reply may take beyond the agent's limit: a row may be measured twice."""
    return 2 * settings.budget_ms / 1e3
