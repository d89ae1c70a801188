"""Tell changes of state and the health of sources in the log; scores in a file, if wanted."""

import logging
from typing import Self

from pydantic import BaseModel, ConfigDict

from asd_monitor.records import (
    LearningProgress,
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
)
from asd_monitor.settings_file import SettingsPath
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sinks.score_file import ScoreFile
from asd_monitor.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

WELL = frozenset({SourceState.RUNNING, SourceState.OPENING, SourceState.ENDED, SourceState.CLOSED})
CALM = frozenset({State.NORMAL, State.LEARNING})
PROGRESS_EVERY = 0.1
"""Learning is told each time so much of it is done."""


class LogSettings(BaseModel):
    """What the log holds beyond changes of state."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: SettingsPath | None = None
    """File to which each score is appended, one JSON document a line; None: no such file."""


class LogSink:
    """A sink that writes one line for each change, and nothing for a window.

    Parameters
    ----------
    settings
        Whether scores go to a file as well.
    metrics
        Where scores that could not be written are counted.
    node
        Name of this monitor in the score file.
    """

    def __init__(self, settings: LogSettings, metrics: Metrics, *, node: str) -> None:
        self._file = (
            ScoreFile(settings.scores, node, metrics) if settings.scores is not None else None
        )
        self._health: dict[str, SourceHealth] = {}
        self._learned: dict[str, float] = {}

    @classmethod
    def build(cls, settings: LogSettings, context: SinkContext) -> Self:
        """Build the sink of a monitor."""
        return cls(settings, context.metrics, node=context.node)

    def open(self) -> None:
        """Open the score file, where one is wanted.

        Raises
        ------
        SinkError
            If the score file cannot be opened for appending.
        """
        if self._file is not None:
            self._file.open()

    def emit(self, record: Record) -> None:
        """Log a change, or hand a score to the file's thread."""
        match record:
            case ScoredWindow():
                if self._file is not None:
                    self._file.put(record)
            case Transition():
                health = self._health.get(record.machine)
                stopped = health is not None and health.state is SourceState.CLOSED
                _tell_transition(record, stopped)
            case SourceHealth():
                self._tell_health(record)
            case LearningProgress():
                self._tell_learning(record)

    def close(self) -> None:
        """Close the score file; may be called twice."""
        if self._file is not None:
            self._file.close()

    def _tell_learning(self, progress: LearningProgress) -> None:
        told, share = self._learned.get(progress.machine, 0.0), progress.learned_s
        share /= max(progress.wanted_s, 1e-9)
        if 0 <= share - told < PROGRESS_EVERY:
            return
        self._learned[progress.machine] = share
        logger.info(
            "%s: learned %.0f of %.0f s%s",
            progress.machine,
            progress.learned_s,
            progress.wanted_s,
            "; fitting the model" if progress.fitting else "",
        )

    def _tell_health(self, health: SourceHealth) -> None:
        before = self._health.get(health.machine)
        self._health[health.machine] = health
        if before is not None and (before.state, before.reason) == (health.state, health.reason):
            return
        level = logging.INFO if health.state in WELL else logging.WARNING
        reason = f": {health.reason}" if health.reason else ""
        lost = f"; {health.lost_samples} samples lost so far" if health.lost_samples else ""
        device = f" ({health.device})" if health.device else ""
        logger.log(level, "%s: source %s%s%s%s", health.machine, health.state, device, reason, lost)


def _tell_transition(event: Transition, stopped: bool) -> None:
    if event.previous is event.state:  # the announcement at the start
        logger.info("%s: %s: %s", event.machine, event.state, event.reason)
        return
    calm = stopped or event.state in CALM or event.previous is State.LEARNING
    level = logging.INFO if calm else logging.WARNING
    note = " (provisional threshold)" if event.provisional else ""
    score = event.score
    figures = ""
    if score is not None and score.value is not None:
        figures = f" [score {score.value:.4g}"
        figures += f", threshold {score.threshold:.4g}" if score.threshold is not None else ""
        figures += f", p {score.p_value:.2g}]" if score.p_value is not None else "]"
    logger.log(
        level,
        "%s: %s -> %s%s: %s%s",
        event.machine,
        event.previous,
        event.state,
        note,
        event.reason,
        figures,
    )
