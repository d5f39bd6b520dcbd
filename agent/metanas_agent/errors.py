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


class InvalidLayerError(MetanasError):
    """A layer's fields or its text key make no sense."""


class InvalidMeasurementError(MetanasError):
    """A measurement that arrived lacks a field or holds an impossible value."""


class InvalidSettingsError(MetanasError):
    """A setting is unknown or out of range."""


class ProtocolError(MetanasError):
    """The peer sent something that is not a valid message."""


class FrameTooLargeError(ProtocolError):
    """A frame is longer than the agreed limit."""


class VersionMismatchError(ProtocolError):
    """The peer speaks a protocol version outside our window."""


class RuntimeUnavailableError(MetanasError):
    """The runtime asked for cannot work on this machine."""


class MeasurementFailedError(MetanasError):
    """A layer or model could not be timed or run: its process failed, died or ran too long."""


class PortInUseError(MetanasError):
    """The agent cannot listen where it was told to."""


class UnsafeAddressError(MetanasError):
    """The agent was told to listen where strangers could reach it."""
