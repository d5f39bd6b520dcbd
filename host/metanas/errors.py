"""Every exception that the host raises on purpose: one tree, one class a cause."""

from __future__ import annotations

from metanas_agent.errors import (
    FrameTooLargeError,
    InvalidLayerError,
    InvalidMeasurementError,
    InvalidSettingsError,
    MeasurementFailedError,
    MetanasError,
    PortInUseError,
    ProtocolError,
    RuntimeUnavailableError,
    UnsafeAddressError,
    VersionMismatchError,
)

__all__ = [
    "AgentUnreachableError",
    "ArchitectureError",
    "ArchiveError",
    "CheckpointError",
    "ConstraintError",
    "ConstraintSyntaxError",
    "DataError",
    "DataNotFoundError",
    "DeviceBusyError",
    "DeviceError",
    "DeviceProfileError",
    "DivergenceError",
    "EmptyClassError",
    "ExportError",
    "FrameTooLargeError",
    "InvalidEpisodeError",
    "InvalidLayerError",
    "InvalidMeasurementError",
    "InvalidSettingsError",
    "MeasurementFailedError",
    "MetanasError",
    "MissingRowsError",
    "NotEnoughImagesError",
    "PortInUseError",
    "ProtocolError",
    "RunFolderError",
    "RuntimeUnavailableError",
    "SettingsMismatchError",
    "SplitMismatchError",
    "TableError",
    "TableMismatchError",
    "UnknownDataSetError",
    "UnknownDeviceError",
    "UnsafeAddressError",
    "UnsupportedError",
    "VersionMismatchError",
    "WorkerError",
]


class DeviceError(MetanasError):
    """A device cannot do what it was asked."""


class UnknownDeviceError(DeviceError):
    """No device of that name is known."""


class DeviceProfileError(DeviceError):
    """A device's TOML file makes no sense."""


class AgentUnreachableError(DeviceError):
    """The agent does not answer, or the connection was lost."""


class DeviceBusyError(DeviceError):
    """Another host's job is running on the device."""


class UnsupportedError(DeviceError):
    """The device cannot do this at all, such as a simulator asked to run a model."""


class TableError(MetanasError):
    """A latency table's file cannot be read or written."""


class MissingRowsError(TableError):
    """A table was asked for layers that it lacks."""


class TableMismatchError(TableError):
    """Two tables, or a table and its journal, were made in different ways."""


class ArchitectureError(MetanasError):
    """A text or an encoding is no architecture of the space."""


class ConstraintError(MetanasError):
    """No architecture of the space satisfies the constraints."""


class ConstraintSyntaxError(MetanasError):
    """A constraint's text cannot be read."""


class DataError(MetanasError):
    """A data set cannot be used."""


class InvalidEpisodeError(DataError):
    """Ways, shots and queries that make no task."""


class UnknownDataSetError(DataError):
    """No data set has that name."""


class DataNotFoundError(DataError):
    """The data set's files are not where they were looked for."""


class ArchiveError(DataError):
    """An archive or an image in it is broken."""


class SplitMismatchError(DataError):
    """The files do not hold the classes that the data set's split says."""


class EmptyClassError(DataError):
    """A class folder holds no image."""


class NotEnoughImagesError(DataError):
    """Fewer classes than ways, or fewer images in a class than shots and queries."""


class RunFolderError(MetanasError):
    """A run folder lacks what a command needs."""


class SettingsMismatchError(RunFolderError):
    """A run folder was made with other settings."""


class CheckpointError(RunFolderError):
    """A checkpoint is truncated or of something else."""


class DivergenceError(MetanasError):
    """Training produced a loss that is not a number."""


class WorkerError(MetanasError):
    """A worker process died."""


class ExportError(MetanasError):
    """A network could not be exported, or the exported file does not agree with it."""
