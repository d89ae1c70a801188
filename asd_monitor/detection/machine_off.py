"""Recognise by the level of the sound that a machine is off, is stopping, or has just started."""

from collections.abc import Sequence
from enum import Enum

from asd_monitor.audio.quality import MIN_LEVEL_DBFS
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.records import NOT_JUDGED_WORD, OFF_WORD, Verdict

MIN_LOW_WINDOWS = 2
"""Windows below the limit that make a machine off; a single one may be a pause."""
TRANSITION_S = 10.0
"""For at most this long, windows are not judged while a machine stops or starts."""
MIN_FALL_DB = 1.0
"""A machine is stopping while its level, below all that was learned, falls by this per window."""


class Phase(Enum):
    """What the level of the newest window, after those before it, says about a machine."""

    ON = "on"
    PAUSED = "paused"
    """The level is below the limit, but not yet for long enough."""
    OFF = "off"
    NO_SIGNAL = "no signal"
    """The level is that of an input without a microphone: nothing can be said."""
    STOPPING = "stopping"
    STARTING = "starting"
    """Sound has returned, and it is not yet normal."""

    @property
    def is_judged(self) -> bool:
        """Whether the window's score counts for the rules of the alarm."""
        return self is Phase.ON


class MachineOff:
    """Compare the level of a machine's windows with the quietest window that was learned.

    Only the level decides: a fault changes the sound of a running machine by a few decibels, and
    what remains when a machine is off is the room.

    Parameters
    ----------
    margin_db
        The machine is off below the quietest learned level minus this.

    Attributes
    ----------
    phase
        Phase of the newest window.
    """

    name = "off"

    def __init__(self, margin_db: float) -> None:
        self._margin_db = margin_db
        self._quietest_dbfs: float | None = None
        self._transition_windows = 0
        self.reset()

    def configure(self, rule: DecisionRule) -> None:
        """Prepare for a model; without its learned levels, a machine is never off."""
        self._quietest_dbfs = None if rule.levels is None else rule.levels.quietest_dbfs
        window_s = rule.window_samples / rule.sample_rate_hz
        self._transition_windows = max(1, round(TRANSITION_S / window_s))
        self.reset()

    def reset(self) -> None:
        """Discard all windows."""
        self.phase = Phase.ON
        self._level_dbfs: float | None = None
        self._low_windows = 0
        self._unjudged_windows = 0

    @property
    def limit_dbfs(self) -> float | None:
        """Below this level the machine is off; None where no levels were learned."""
        return None if self._quietest_dbfs is None else self._quietest_dbfs - self._margin_db

    def update(self, level_dbfs: float | None, *, exceeds: bool) -> Phase:
        """Take a window into account that overlaps none before it.

        Parameters
        ----------
        level_dbfs
            Level of the window; None where it is not known.
        exceeds
            Whether its score is above the threshold.
        """
        previous_dbfs, self._level_dbfs = self._level_dbfs, level_dbfs
        if self.limit_dbfs is None or level_dbfs is None:
            self.reset()
        elif level_dbfs < self.limit_dbfs:
            self._update_low(level_dbfs)
        else:
            self._low_windows = 0
            self._update_high(level_dbfs, previous_dbfs, exceeds)
        return self.phase

    def _update_low(self, level_dbfs: float) -> None:
        self._low_windows += 1
        self._unjudged_windows = 0
        if level_dbfs < MIN_LEVEL_DBFS:
            self.phase = Phase.NO_SIGNAL
        elif self._low_windows >= MIN_LOW_WINDOWS or self.phase in (Phase.OFF, Phase.STARTING):
            self.phase = Phase.OFF
        else:
            self.phase = Phase.PAUSED

    def _update_high(self, level_dbfs: float, previous_dbfs: float | None, exceeds: bool) -> None:
        phase = Phase.ON
        if exceeds and self.phase in (Phase.OFF, Phase.NO_SIGNAL, Phase.STARTING):
            phase = Phase.STARTING
        elif exceeds and self._is_falling(level_dbfs, previous_dbfs):
            phase = Phase.STOPPING
        self._unjudged_windows = 0 if phase is Phase.ON else self._unjudged_windows + 1
        self.phase = Phase.ON if self._unjudged_windows > self._transition_windows else phase

    def _is_falling(self, level_dbfs: float, previous_dbfs: float | None) -> bool:
        """Return whether the level is below all that was learned, and still falling."""
        assert self._quietest_dbfs is not None  # noqa: S101 - for the type checker
        below = level_dbfs < self._quietest_dbfs - MIN_FALL_DB
        return below and previous_dbfs is not None and previous_dbfs - level_dbfs >= MIN_FALL_DB

    @property
    def verdict(self) -> Verdict:
        """Verdict of a window that is not judged."""
        word = OFF_WORD if self.phase is Phase.OFF else NOT_JUDGED_WORD
        return Verdict(word, sentence=self.description)

    def read_clip(self, levels_dbfs: Sequence[float]) -> Verdict | None:
        """Return the verdict of a recording whose windows are all below the limit, else None."""
        limit_dbfs = self.limit_dbfs
        if limit_dbfs is None or not levels_dbfs or max(levels_dbfs) >= limit_dbfs:
            return None
        self._level_dbfs, self.phase = max(levels_dbfs), Phase.OFF
        return self.verdict

    @property
    def explanation(self) -> str:
        """When the machine is off, for the user; empty where no levels were learned."""
        if self.limit_dbfs is None or self._quietest_dbfs is None:
            return ""
        return (
            f"below {self.limit_dbfs:.0f} dBFS the machine is off: {self._margin_db:g} dB below "
            f"the quietest window learned ({self._quietest_dbfs:.0f} dBFS)"
        )

    @property
    def description(self) -> str:
        """Description of the phase for the user, with the level."""
        if self._level_dbfs is None or self._quietest_dbfs is None:
            return "no levels were learned"
        below_db = self._quietest_dbfs - self._level_dbfs
        side = f"{below_db:.0f} dB below" if below_db >= 0.5 else "not below"
        level = (
            f"level {self._level_dbfs:.0f} dBFS, {side} the quietest sound learned "
            f"({self._quietest_dbfs:.0f} dBFS)"
        )
        return f"{_SENTENCES[self.phase]}: {level}"


_SENTENCES = {
    Phase.ON: "the machine is on",
    Phase.PAUSED: "the sound has stopped; waiting for more",
    Phase.OFF: "the machine is off",
    Phase.NO_SIGNAL: (
        "almost no sound: the machine is off in a silent room, or the microphone is not connected "
        "or turned down"
    ),
    Phase.STOPPING: "the machine is stopping",
    Phase.STARTING: "the sound is back; waiting until it is steady",
}
