"""AgentDevice: a device reached through the agent that runs on it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from metanas.closing import Closing
from metanas.devices.connection import Connection
from metanas.devices.device import DeviceDescription, ModelRun
from metanas.devices.endpoint import Endpoint
from metanas.devices.upload import ArtifactSource, upload
from metanas.errors import (
    ArtifactError,
    DeviceBusyError,
    MeasurementFailedError,
    MetanasError,
    ProtocolError,
    RuntimeUnavailableError,
    StorageFullError,
    UntrustedError,
)
from metanas_agent.finding import Finding
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.message import Message
from metanas_agent.messages import (
    Cancel,
    Describe,
    Description,
    Done,
    Examine,
    Findings,
    Measure,
    Result,
    Row,
    RunModel,
    Status,
    StatusReply,
)
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import Tensor

M = TypeVar("M", bound=Message)

_JOB_ERRORS = (
    ArtifactError,
    DeviceBusyError,
    MeasurementFailedError,
    RuntimeUnavailableError,
    StorageFullError,
    UntrustedError,
)
"""The job failed, and the connection is as good as before."""

_AGENT_SOURCES = ("measured", "emulated")


class AgentDevice(Closing):
    """A device behind an agent. Connects at once.

    Args:
        name: the name that the host knows it by.
        endpoint: where the agent listens.
        runtime: the agent's runtime that shall do the work.
        artifacts: makes the programs that the runtime needs, None where it needs none.
        session: the secret of an earlier `AgentDevice` whose connection is lost, to take over its
            job; else none.

    Raises:
        AgentUnreachableError: nothing answers there.
        UntrustedError: what answers is not the board that was paired, or does not know us.
        VersionMismatchError: the agent speaks no version of the protocol that we speak.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        runtime: str = "onnx",
        artifacts: ArtifactSource | None = None,
        session: str = "",
    ) -> None:
        self._name = name
        self._runtime = runtime
        self._artifacts = artifacts
        self._uploaded: set[str] = set()
        self._measuring = False
        self._connection = Connection(endpoint, session=session or secrets.token_hex(16))

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
            source="emulated" if answer.emulated else "measured",
            agent_version=answer.agent_version,
            dtypes=answer.dtypes,
        )

    def status(self) -> StatusReply:
        """Whether a job is running there, whose, and for how long.

        Raises:
            AgentUnreachableError: the connection is lost.
            ProtocolError: the agent is too old to tell.
        """
        return self._ask(Status(), StatusReply)

    def examine(self) -> tuple[Finding, ...]:
        """See `Device`.

        Raises:
            ProtocolError: the agent is too old to tell.
        """
        return self._ask(Examine(), Findings).findings

    def measure(
        self, layers: Sequence[LayerSpec], settings: TimerSettings
    ) -> Iterator[Measurement]:
        """See `Device`. Closing the iterator early stops the job."""
        self._refuse_while_measuring()
        self._measuring = True
        try:
            request = Measure(
                layers=tuple(layers),
                settings=settings,
                runtime=self._runtime,
                artifact=self._bring(self._artifacts.for_layers()) if self._artifacts else "",
            )
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
        self._refuse_while_measuring()
        images = np.ascontiguousarray(inputs, "<f4")
        program = self._bring(self._artifacts.for_model(model)) if self._artifacts else ""
        request = RunModel(
            model=b"" if program else model,
            inputs=Tensor(images.tobytes(), images.shape),
            settings=settings,
            runtime=self._runtime,
            artifact=program,
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

    def _ask(self, request: Message, answer: type[M], *, work_s: float = 0.0) -> M:
        self._refuse_while_measuring()
        self._connection.send(request, work_s=work_s)
        return self._connection.receive(answer)

    def _bring(self, program: tuple[str, Path]) -> str:
        """See that a program is there; its hash."""
        sha256, path = program
        if sha256 not in self._uploaded:
            upload(self._connection, sha256, path)
            self._uploaded.add(sha256)
        return sha256

    def _row_of(self, layer: LayerSpec) -> Measurement:
        measurement = self._connection.receive(Row).measurement
        if measurement.key != layer.key:
            raise ProtocolError(f"{self._name}: asked for {layer}, got {measurement.key[:200]!r}")
        self._check_measured(measurement)
        return measurement

    def _check_measured(self, measurement: Measurement) -> None:
        if measurement.source not in _AGENT_SOURCES:
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
