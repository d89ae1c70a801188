"""The errors that users can cause or must act on, with the exit codes of the command line.

AsdMonitorError
├── ConfigError      2  the command line or the configuration is wrong
├── ModelFileError   3  a model file is missing, damaged, or unsuitable
├── SourceError      4  audio cannot be read: no such microphone or recording
├── DatasetError     5  a dataset, its labels, or a submission is invalid
├── SinkError        6  a broker or a port cannot be used
├── StateError       7  the state folder is in use, full, or not writable
└── RunError         8  a training run is missing, damaged, not writable, or of another model

Exit code 1 is reserved for internal errors.
"""


class AsdMonitorError(Exception):
    """A failure whose message says what was expected, what was found, where, and what to do."""

    exit_code = 1


class ConfigError(AsdMonitorError):
    """The command line or the configuration is wrong."""

    exit_code = 2


class ModelFileError(AsdMonitorError):
    """A model file is missing, damaged, or made for another program or machine."""

    exit_code = 3


class UntrustedModelError(ModelFileError):
    """A model file is whole, but may not run: it is not signed with a trusted key."""


class SourceError(AsdMonitorError):
    """A microphone or a recording does not exist or cannot be read."""

    exit_code = 4


class DatasetError(AsdMonitorError):
    """A dataset, its labels, or a submission is invalid."""

    exit_code = 5


class SinkError(AsdMonitorError):
    """A broker or a port cannot be used."""

    exit_code = 6


class StateError(AsdMonitorError):
    """The state folder is in use by another process, full, or not writable."""

    exit_code = 7


class RunError(AsdMonitorError):
    """A training run is missing, damaged, not writable, or belongs to another model."""

    exit_code = 8
