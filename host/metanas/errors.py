"""Every exception that the host raises on purpose: one tree, one class a cause."""

from __future__ import annotations

from metanas_agent.errors import (
    ArtifactError,
    BrokenIdentityError,
    BundleNotFoundError,
    CorruptFrameError,
    FrameTooLargeError,
    InsecureKeyError,
    InvalidBundleError,
    InvalidImageError,
    InvalidLayerError,
    InvalidMeasurementError,
    InvalidModelError,
    InvalidSettingsError,
    InvalidSupportSetError,
    LeaseLostError,
    MeasurementFailedError,
    MetanasError,
    PortInUseError,
    ProtocolError,
    RuntimeUnavailableError,
    StorageFullError,
    UnsafeAddressError,
    UntrustedError,
    VersionMismatchError,
)

__all__ = [
    "AcceleratorError",
    "AgentUnreachableError",
    "AmbiguousDeviceError",
    "ArchitectureError",
    "ArchiveError",
    "ArtifactError",
    "BrokenIdentityError",
    "BundleNotFoundError",
    "CalibrationError",
    "CheckpointError",
    "CompilationError",
    "ConstraintError",
    "ConstraintSyntaxError",
    "CorruptFrameError",
    "DataError",
    "DataNotFoundError",
    "DeviceBusyError",
    "DeviceError",
    "DeviceProfileError",
    "DiscoveryError",
    "DiskFullError",
    "DivergenceError",
    "EmptyClassError",
    "EmulatedTableError",
    "ExportError",
    "ExtraMissingError",
    "FrameTooLargeError",
    "HostKeyChangedError",
    "HostKeyUnknownError",
    "InsecureKeyError",
    "InstallationError",
    "InvalidBundleError",
    "InvalidEpisodeError",
    "InvalidImageError",
    "InvalidLayerError",
    "InvalidMeasurementError",
    "InvalidModelError",
    "InvalidSettingsError",
    "InvalidSupportSetError",
    "LeaseLostError",
    "MeasurementFailedError",
    "MetanasError",
    "MissingRowsError",
    "NativeBuildError",
    "NativeError",
    "NativeUnavailableError",
    "NoPythonError",
    "NotEnoughImagesError",
    "PairingError",
    "PortInUseError",
    "ProtocolError",
    "PythonTooOldError",
    "RunFolderError",
    "RuntimeUnavailableError",
    "SettingsMismatchError",
    "SplitMismatchError",
    "SshAuthenticationError",
    "SshUnreachableError",
    "StorageFullError",
    "TableBusyError",
    "TableError",
    "TableMismatchError",
    "ToolchainMissingError",
    "UnknownDataSetError",
    "UnknownDeviceError",
    "UnknownTargetError",
    "UnsafeAddressError",
    "UnsupportedError",
    "UntrustedError",
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


class DiscoveryError(DeviceError):
    """This machine cannot look for devices by multicast."""


class UnsupportedError(DeviceError):
    """The device cannot do this at all, such as a simulator asked to run a model."""


class TableError(MetanasError):
    """A latency table's file cannot be read or written."""


class CalibrationError(TableError):
    """Whole networks could not be compared with a table's sums."""


class EmulatedTableError(TableError):
    """A table made under an emulator was given to a search that did not ask for one."""


class BatchTableError(TableError):
    """A table of several images a call was given to a search for one image a call."""


class MissingRowsError(TableError):
    """A table was asked for layers that it lacks."""


class TableBusyError(TableError):
    """Another command is at work on the table or its journal."""


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
    """Training produced a loss that is not a number, or that exploded."""


class AcceleratorError(MetanasError):
    """PyTorch finds no accelerator of the kind that was asked for."""


class WorkerError(MetanasError):
    """A worker process died."""


class ExportError(MetanasError):
    """A network could not be exported, or the exported file does not agree with it."""


class ExtraMissingError(MetanasError):
    """What was asked needs an optional package that is not installed."""


class PairingError(DeviceError):
    """A board cannot be paired with, or a record of one makes no sense."""


class AmbiguousDeviceError(DeviceError):
    """Two paired boards bear the name."""


class HostKeyChangedError(PairingError):
    """The board's SSH host key is not the one that is known."""


class HostKeyUnknownError(PairingError):
    """The board's SSH host key is not known, and was not accepted."""


class InstallationError(PairingError):
    """A step of the installation failed on the board."""


class DiskFullError(InstallationError):
    """The board's disk has no room for the agent."""


class NoPythonError(PairingError):
    """The board has no Python."""


class PythonTooOldError(PairingError):
    """The board's Python is older than the agent needs."""


class SshAuthenticationError(PairingError):
    """The board takes none of our SSH keys and no password."""


class SshUnreachableError(PairingError):
    """No SSH server answers at the board's address."""


class NativeError(MetanasError):
    """A native program cannot be built."""


class NativeUnavailableError(NativeError):
    """TVM, which writes the kernels of native programs, is not installed."""


class NativeBuildError(NativeError):
    """A network holds what cannot become a native program."""


class ToolchainMissingError(NativeError):
    """No compiler for the target is installed."""


class CompilationError(NativeError):
    """A compiler refused what it was given, or ran out of something."""


class UnknownTargetError(NativeError):
    """No target of native programs has that name."""
