"""The errors that a user can meet, each with the exit code of the command line.

AsdMonitorError
├── ConfigError      2  the command line or the configuration is wrong
├── ModelFileError   3  a model file is missing, damaged, or not for this program
├── SourceError      4  audio cannot be had: no such microphone or recording
├── DatasetError     5  a dataset, its labels, or a submission is not as it should be
├── SinkError        6  a broker or a port cannot be used
├── StateError       7  the state folder is in use, full, or not writable
└── RunError         8  a training run is missing, damaged, full, or of another model

Exit code 1 is kept for faults of the program itself.
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


class SourceError(AsdMonitorError):
    """Audio cannot be had: no such microphone, no such recording, or it cannot be read."""

    exit_code = 4


class DatasetError(AsdMonitorError):
    """A dataset, its labels, or a submission is not as it should be."""

    exit_code = 5


class SinkError(AsdMonitorError):
    """A broker or a port cannot be used."""

    exit_code = 6


class StateError(AsdMonitorError):
    """The state folder is in use by another process, full, or not writable."""

    exit_code = 7


class RunError(AsdMonitorError):
    """A training run is missing, damaged, cannot be written, or belongs to something else."""

    exit_code = 8
