"""Settings of timelines, and their limits."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import ConfigError
from asd_monitor.synthesis.faults import FAULTS
from asd_offline.synth.machines import MACHINE_FAULTS
from asd_offline.synth.timeline.onset import ONSETS

LEVELS_DB = (0.0, -6.0, -12.0, -18.0)


@dataclass(frozen=True, slots=True)
class TimelineSettings:
    """Lengths of the streams and the faults in them."""

    hours: float = 4.0
    """Normal sound of the streams of a machine, in hours."""
    fault_s: float = 300.0
    kinds: tuple[str, ...] = ()
    """Kinds of fault; empty: all, or all that suit a simulated machine."""
    levels_db: tuple[float, ...] = LEVELS_DB
    onsets: tuple[str, ...] = tuple(ONSETS)
    seed: int = 1

    def check(self) -> None:
        """Raise ConfigError if a value is out of range or unknown."""
        for option, value, low, high in (
            ("--hours", self.hours, 0.05, 1000.0),
            ("--fault-s", self.fault_s, 10.0, 36_000.0),
            ("--seed", self.seed, 0, 2**32 - 1),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{option}: expected {low:g} to {high:g}, got {value:g}")
        check_names("--kinds", self.kinds, FAULTS)
        check_names("--onsets", self.onsets, ONSETS)
        for level_db in self.levels_db:
            if not -60.0 <= level_db <= 20.0:
                raise ConfigError(f"--levels: expected dB between -60 and 20, got {level_db:g}")


@dataclass(frozen=True, slots=True)
class SimulatedTimelines:
    """Machines that are simulated."""

    machines: tuple[str, ...] = ("pump",)
    train_minutes: float = 20.0
    snr_db: float = 6.0
    """Level of the machine at full load relative to the factory noise."""

    def check(self) -> None:
        """Raise ConfigError if a value is out of range or unknown."""
        check_names("--machines", self.machines, MACHINE_FAULTS)
        for option, value, low, high in (
            ("--train-minutes", self.train_minutes, 1.0, 600.0),
            ("--snr-db", self.snr_db, -40.0, 60.0),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{option}: expected {low:g} to {high:g}, got {value:g}")


@dataclass(frozen=True, slots=True)
class InjectedTimelines:
    """Normal recordings of one machine that faults are added to."""

    normals: Path
    machine: str = ""
    """Name of the machine; empty: the name of the folder."""
    train_clips: int | None = None
    """Recordings for training; None: two thirds."""
    splits: int = 1
    """Random divisions into training and test recordings, each with its own streams."""
    shaft_hz: float | None = None
    """Revolutions or strokes per second; None: drawn between 12 and 30."""

    def check(self) -> None:
        """Raise ConfigError if a value is out of range."""
        if not 1 <= self.splits <= 1000:
            raise ConfigError(f"--splits: expected 1 to 1000, got {self.splits}")
        if self.shaft_hz is not None and not 0.2 <= self.shaft_hz <= 500.0:
            raise ConfigError(f"--shaft-hz: expected 0.2 to 500, got {self.shaft_hz}")


def check_names(option: str, names: tuple[str, ...], known: dict[str, object] | object) -> None:
    """Raise ConfigError for a name that is not a key of ``known``."""
    assert isinstance(known, dict)  # noqa: S101 - for the type checker
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{option}: expected some of {', '.join(known)}, got {name!r}{hint}")
