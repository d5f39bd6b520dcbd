"""The root of every exception that metanas raises on purpose, and the agent's own branches."""

from __future__ import annotations


class MetanasError(Exception):
    """Something a user can understand and mend.

    Args:
        what: one line that says what happened and to which input.
        hint: one line that says what to do next.
    """

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} ({self.hint})" if self.hint else self.what


class ArtifactError(MetanasError):
    """An uploaded file is not here, or is not what its hash says."""


class BundleNotFoundError(MetanasError):
    """No bundle of that name is installed, or none to roll back to."""


class InvalidBundleError(MetanasError):
    """A bundle is truncated, was changed, or holds what no bundle may hold."""


class InvalidImageError(MetanasError):
    """A picture cannot be read."""


class InvalidLayerError(MetanasError):
    """A layer's fields or its text key make no sense."""


class InvalidMeasurementError(MetanasError):
    """A measurement that arrived lacks a field or holds an impossible value."""


class InvalidModelError(MetanasError):
    """An ONNX file cannot be loaded, or is not the kind of model that is needed."""


class InvalidSettingsError(MetanasError):
    """A setting is unknown or out of range."""


class InvalidSupportSetError(MetanasError):
    """A folder of class folders cannot be learned from."""


class LeaseLostError(MetanasError):
    """The agent took the device back from a host that gave no sign of life."""


class ProtocolError(MetanasError):
    """The peer sent something that is not a valid message."""


class CorruptFrameError(ProtocolError):
    """A frame was damaged on its way."""


class FrameTooLargeError(ProtocolError):
    """A frame is longer than the agreed limit."""


class VersionMismatchError(ProtocolError):
    """The peer speaks a protocol version outside our window."""


class RuntimeUnavailableError(MetanasError):
    """The runtime asked for cannot work on this machine."""


class MeasurementFailedError(MetanasError):
    """A layer or model could not be timed or run: its process failed, died or ran too long."""


class WorkerDiedError(MeasurementFailedError):
    """The process that measures ended by itself, or the system ended it.

    Args:
        how: the signal's name or the exit code.
        last_words: the last line that it printed.
        hint: one line that says what to do next.
    """

    def __init__(self, how: str, *, last_words: str = "", hint: str = "") -> None:
        self.how = f"{how}: {last_words}" if last_words else how
        super().__init__(f"worker died: {self.how}", hint=hint)


class PortInUseError(MetanasError):
    """The agent cannot listen where it was told to."""


class StorageFullError(MetanasError):
    """The device has no room for an uploaded file."""


class UnsafeAddressError(MetanasError):
    """The agent was told to listen where strangers could reach it."""


class UntrustedError(MetanasError):
    """The peer is not paired with us, or is not who we paired with."""


class BrokenIdentityError(MetanasError):
    """What pairing wrote on this machine is missing or makes no sense."""


class InsecureKeyError(MetanasError):
    """Others can read a private key, or add to those who are trusted."""
