"""What host, agent and worker say to each other.

A message is a frozen dataclass; its fields' annotations say how they are checked (`wire.HOOKS`).
A field that is missing, unknown or of another type is refused. Only in `Hello`, `Welcome` and
`Error` are unknown ones passed over: these must be understood before a version is agreed.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar, Self

from metanas_agent import errors
from metanas_agent.errors import MetanasError, ProtocolError
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import HOOKS, LONGEST_TEXT, Hook, Tensor, Version

ERROR_CODES: dict[str, type[MetanasError]] = {
    "frame-too-large": errors.FrameTooLargeError,
    "invalid-layer": errors.InvalidLayerError,
    "invalid-measurement": errors.InvalidMeasurementError,
    "invalid-settings": errors.InvalidSettingsError,
    "measurement-failed": errors.MeasurementFailedError,
    "protocol": errors.ProtocolError,
    "runtime-unavailable": errors.RuntimeUnavailableError,
    "version-mismatch": errors.VersionMismatchError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One frame."""

    type: ClassVar[str]
    extensible: ClassVar[bool] = False

    def to_wire(self) -> dict[str, Any]:
        """Plain values for a frame."""
        values: dict[str, Any] = {"type": self.type}
        for part in fields(self):
            values[part.name] = _hook(part).write(getattr(self, part.name))
        return values

    @classmethod
    def from_wire(cls, values: dict[str, object]) -> Self:
        """Read what `to_wire` wrote, without `type`.

        Raises:
            ProtocolError: a field is missing, unknown or of another type.
            MetanasError: a layer, measurement or setting in it is invalid.
        """
        parts = {part.name: part for part in fields(cls)}
        unknown = values.keys() - parts.keys()
        if unknown and not cls.extensible:
            raise ProtocolError(f"{cls.type} message: unknown field {sorted(unknown)[0]!r:.80}")
        read = {}
        for name, part in parts.items():
            if name in values:
                try:
                    read[name] = _hook(part).read(values[name])
                except ValueError as error:
                    raise ProtocolError(f"{cls.type} message: {name} is {error}") from error
            elif part.default is MISSING:
                raise ProtocolError(f"{cls.type} message: {name} is missing")
        return cls(**read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Message):
    """The host's first word."""

    type: ClassVar[str] = "hello"
    extensible: ClassVar[bool] = True
    version: Version
    program: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(Message):
    """The agent's answer to `Hello`.

    Args:
        version: the agent's.
        program: its name and version, for people.
        limit_s: longest time that it gives one layer or model beyond its timing budget.
    """

    type: ClassVar[str] = "welcome"
    extensible: ClassVar[bool] = True
    version: Version
    program: str
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Message):
    """What was asked failed."""

    type: ClassVar[str] = "error"
    extensible: ClassVar[bool] = True
    code: str
    what: str
    hint: str = ""

    @classmethod
    def of(cls, error: MetanasError) -> Self:
        """The message that tells of an exception."""
        codes = {kind: code for code, kind in ERROR_CODES.items()}
        return cls(
            code=codes.get(type(error), "failed"),
            what=error.what[:LONGEST_TEXT],
            hint=error.hint[:LONGEST_TEXT],
        )

    def exception(self) -> MetanasError:
        """The exception that the message tells of."""
        return ERROR_CODES.get(self.code, MetanasError)(self.what, hint=self.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Describe(Message):
    """Ask what the machine is; answered by `Description`."""

    type: ClassVar[str] = "describe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description(Message):
    """What the agent says of its machine; `unavailable` maps a runtime to the reason."""

    type: ClassVar[str] = "description"
    machine: str
    processor: str
    cores: int
    memory_bytes: int | None
    system: str
    runtimes: dict[str, str]
    unavailable: dict[str, str]
    agent_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure(Message):
    """Ask for the time of layers; answered by a `Row` each, in order, then `Done`."""

    type: ClassVar[str] = "measure"
    layers: tuple[LayerSpec, ...]
    settings: TimerSettings
    runtime: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Message):
    """One layer's measurement."""

    type: ClassVar[str] = "row"
    measurement: Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Message):
    """The job is over: finished or, after `Cancel`, stopped."""

    type: ClassVar[str] = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunModel(Message):
    """Ask to run an ONNX model on images, one at a time; answered by `Result`."""

    type: ClassVar[str] = "run_model"
    model: bytes
    inputs: Tensor
    settings: TimerSettings
    runtime: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Message):
    """What running a model gave."""

    type: ClassVar[str] = "result"
    outputs: Tensor
    latency: Measurement
    peak_memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Message):
    """Stop the running job; answered by `Done`. Without a job it means nothing."""

    type: ClassVar[str] = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy(Message):
    """Another host's job is running."""

    type: ClassVar[str] = "busy"
    running_s: float


MESSAGES: dict[str, type[Message]] = {
    kind.type: kind
    for kind in (
        Hello,
        Welcome,
        Error,
        Describe,
        Description,
        Measure,
        Row,
        Done,
        RunModel,
        Result,
        Cancel,
        Busy,
    )
}


def _hook(part: Field[Any]) -> Hook:
    assert isinstance(part.type, str)
    return HOOKS[part.type]
