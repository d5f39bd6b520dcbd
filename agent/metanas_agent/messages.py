"""What host, agent and worker say to each other.

What is newer than protocol 1 says `since` when, and is left out towards an older peer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Self

from metanas_agent import errors
from metanas_agent.errors import MetanasError
from metanas_agent.finding import Finding
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.message import Message
from metanas_agent.printing import printable
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import LONGEST_TEXT, Sha256, Tensor, Version

ERROR_CODES: dict[str, type[MetanasError]] = {
    "artifact": errors.ArtifactError,
    "corrupt-frame": errors.CorruptFrameError,
    "frame-too-large": errors.FrameTooLargeError,
    "invalid-layer": errors.InvalidLayerError,
    "invalid-measurement": errors.InvalidMeasurementError,
    "invalid-settings": errors.InvalidSettingsError,
    "lease-lost": errors.LeaseLostError,
    "measurement-failed": errors.MeasurementFailedError,
    "protocol": errors.ProtocolError,
    "runtime-unavailable": errors.RuntimeUnavailableError,
    "storage-full": errors.StorageFullError,
    "untrusted": errors.UntrustedError,
    "version-mismatch": errors.VersionMismatchError,
}

_SINCE_2 = {"since": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Message):
    """The host's first word.

    Args:
        version: the one that it wishes to speak.
        program: its name and version, for people.
        session: a secret text of its own. A connection of the same session may take over the job
            of an earlier one that is lost.
        host: the host's name, for others who wait for the device.
    """

    type: ClassVar[str] = "hello"
    extensible: ClassVar[bool] = True
    version: Version
    program: str
    session: str = field(default="", metadata=_SINCE_2)
    host: str = field(default="", metadata=_SINCE_2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(Message):
    """The agent's answer to `Hello`.

    Args:
        version: the one that will be spoken.
        program: its name and version, for people.
        limit_s: longest time that it gives one layer or model beyond its timing budget.
        lease_s: a peer that is silent for so long is taken for dead.
        trusted: whether this host may upload and run programs.
        device_id: of the paired device, empty if it never was paired.
        name: of the paired device.
    """

    type: ClassVar[str] = "welcome"
    extensible: ClassVar[bool] = True
    version: Version
    program: str
    limit_s: float
    lease_s: float = field(default=0.0, metadata=_SINCE_2)
    trusted: bool = field(default=False, metadata=_SINCE_2)
    device_id: str = field(default="", metadata=_SINCE_2)
    name: str = field(default="", metadata=_SINCE_2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive(Message):
    """A sign of life, sent by both sides whatever else goes on; not answered."""

    type: ClassVar[str] = "alive"
    since: ClassVar[int] = 2


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
            code=next((codes[kind] for kind in type(error).__mro__ if kind in codes), "failed"),
            what=error.what[:LONGEST_TEXT],
            hint=error.hint[:LONGEST_TEXT],
        )

    def exception(self) -> MetanasError:
        """The exception that the message tells of."""
        kind = ERROR_CODES.get(self.code, MetanasError)
        return kind(printable(self.what), hint=printable(self.hint))


@dataclass(frozen=True, slots=True, kw_only=True)
class Describe(Message):
    """Ask what the machine is; answered by `Description`."""

    type: ClassVar[str] = "describe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description(Message):
    """What the agent says of its machine; `unavailable` maps a runtime to the reason.

    `abi` is the machine's name for programs, such as `armv6l`; `emulated` says that another
    processor plays its part; `dtypes` maps a runtime to those that it has run a layer in, such as
    `float32 int8`, and is empty where the agent does not tell.
    """

    type: ClassVar[str] = "description"
    machine: str
    processor: str
    cores: int
    memory_bytes: int | None
    system: str
    runtimes: dict[str, str]
    unavailable: dict[str, str]
    agent_version: str
    device_id: str = field(default="", metadata=_SINCE_2)
    name: str = field(default="", metadata=_SINCE_2)
    emulated: bool = field(default=False, metadata=_SINCE_2)
    abi: str = field(default="", metadata=_SINCE_2)
    dtypes: dict[str, str] = field(default_factory=dict, metadata=_SINCE_2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Message):
    """Ask whether a job is running; answered by `StatusReply`, even while one is."""

    type: ClassVar[str] = "status"
    since: ClassVar[int] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReply(Message):
    """Whether a job is running, whose it is, and for how long."""

    type: ClassVar[str] = "status_reply"
    since: ClassVar[int] = 2
    busy: bool
    holder: str
    running_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Examine(Message):
    """Ask what on the machine could spoil measurements; answered by `Findings`."""

    type: ClassVar[str] = "examine"
    since: ClassVar[int] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings(Message):
    """What was seen, one finding a check, good or bad."""

    type: ClassVar[str] = "findings"
    since: ClassVar[int] = 2
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure(Message):
    """Ask for the time of layers; answered by a `Row` each, in order, then `Done`.

    `artifact` names the uploaded program that shall run them, where the runtime needs one.
    """

    type: ClassVar[str] = "measure"
    layers: tuple[LayerSpec, ...]
    settings: TimerSettings
    runtime: str
    artifact: Sha256 = field(default="", metadata=_SINCE_2)


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
    """Ask to run a model on images, one at a time; answered by `Result`.

    The model is ONNX, or empty where `artifact` names an uploaded program instead.
    """

    type: ClassVar[str] = "run_model"
    model: bytes
    inputs: Tensor
    settings: TimerSettings
    runtime: str
    artifact: Sha256 = field(default="", metadata=_SINCE_2)


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
    holder: str = field(default="", metadata=_SINCE_2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer(Message):
    """Announce a file by its content; answered by `Stored`."""

    type: ClassVar[str] = "offer"
    since: ClassVar[int] = 2
    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk(Message):
    """The next bytes of an offered file; answered by `Stored`."""

    type: ClassVar[str] = "chunk"
    since: ClassVar[int] = 2
    sha256: Sha256
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Message):
    """How much of a file is there: where the next chunk begins, or the end."""

    type: ClassVar[str] = "stored"
    since: ClassVar[int] = 2
    sha256: Sha256
    received_bytes: int


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
        Alive,
        Status,
        StatusReply,
        Offer,
        Chunk,
        Stored,
        Examine,
        Findings,
    )
}
