"""Log changes of state and the health of sources; optionally append scores to a file."""

import logging
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from asd_monitor.calibration.score_text import describe_p_value, format_score
from asd_monitor.records import (
    EvidenceReady,
    LearningProgress,
    MachineAlarm,
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
)
from asd_monitor.settings_file import SettingsPath
from asd_monitor.sinks.context import SinkContext
from asd_monitor.sinks.payloads import NO_NAMES, Names
from asd_monitor.sinks.rotating_file import RotatingFile, Rotation
from asd_monitor.sinks.score_file import ScoreFile
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.terminal.json_log import LogFormat

logger = logging.getLogger(__name__)

_INFO_SOURCE_STATES = frozenset(
    {SourceState.RUNNING, SourceState.OPENING, SourceState.ENDED, SourceState.CLOSED}
)
_DELIVERING_STATES = frozenset({SourceState.RUNNING, SourceState.ENDED})
_INFO_STATES = frozenset({State.NORMAL, State.OFF, State.LEARNING})
DAY_S = 86_400.0
PROGRESS_STEP = 0.1
"""Learning is logged each time it has advanced by this fraction."""


class LogSettings(BaseModel):
    """What is logged; null: no changes of state or of sources, and no scores."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: LogFormat = LogFormat.TEXT
    """How the log is written to stderr: `text`, lines for people, or `json`, one object per
    line."""
    scores: SettingsPath | None = None
    """File to which each score is appended as one line of JSON; None: scores are not kept."""
    scores_max_mb: float = Field(50.0, ge=0.01, le=1e6)
    """A file of this many megabytes is moved to `<scores>.1`, and a new one is begun."""
    scores_max_days: float = Field(7.0, ge=0.01, le=3660)
    """A new file is begun at least this often, in UTC."""
    scores_kept: int = Field(7, ge=1, le=1000)
    """Number of older files kept; `<scores>.1` is the newest of them."""


class LogSink:
    """A sink that logs one line for each change, and nothing for a window.

    Parameters
    ----------
    settings
        Whether scores go to a file as well.
    metrics
        Where scores that could not be written are counted.
    node
        Name of this monitor in the score file.
    names
        Names of the machines for people in the score file, by id.
    """

    def __init__(
        self, settings: LogSettings, metrics: Metrics, *, node: str, names: Names = NO_NAMES
    ) -> None:
        self._file = _make_score_file(settings, node, metrics, names)
        self._health: dict[str, SourceHealth] = {}
        self._logged_progress: dict[str, tuple[float, bool]] = {}
        self._described_events: dict[str, str] = {}

    @classmethod
    def build(cls, settings: LogSettings, context: SinkContext) -> Self:
        """Build the sink of a monitor."""
        return cls(settings, context.metrics, node=context.node, names=context.names)

    def open(self) -> None:
        """Open the score file, if there is one.

        Raises
        ------
        SinkError
            If the score file cannot be opened for appending.
        """
        if self._file is not None:
            self._file.open()

    def emit(self, record: Record) -> None:
        """Log a change, or pass a score to the thread that writes the file."""
        match record:
            case ScoredWindow():
                if self._file is not None:
                    self._file.put(record)
            case Transition():
                health = self._health.get(record.machine)
                stopped = health is not None and health.state is SourceState.CLOSED
                _log_transition(record, stopped)
            case SourceHealth():
                self._log_health(record)
            case LearningProgress():
                self._log_learning(record)
            case EvidenceReady():
                self._log_evidence(record)
            case MachineAlarm():
                _log_alarm(record)

    def close(self) -> None:
        """Close the score file; may be called twice."""
        if self._file is not None:
            self._file.close()

    def _log_learning(self, progress: LearningProgress) -> None:
        fraction = progress.learned_s / max(progress.required_s, 1e-9)
        logged, was_fitting = self._logged_progress.get(progress.machine, (0.0, False))
        begins_fit = progress.fitting and not was_fitting
        if 0 <= fraction - logged < PROGRESS_STEP and not begins_fit:
            return
        self._logged_progress[progress.machine] = fraction, progress.fitting
        logger.info(
            "%s: learned %.0f of %.0f s%s",
            progress.machine,
            progress.learned_s,
            progress.required_s,
            "; fitting the model" if progress.fitting else "",
        )

    def _log_health(self, health: SourceHealth) -> None:
        last = self._health.get(health.machine)
        self._health[health.machine] = health
        if last is not None and (last.state, last.reason) == (health.state, health.reason):
            return
        has_problem = health.reason != "" and health.state in _DELIVERING_STATES
        is_expected = health.state in _INFO_SOURCE_STATES and not has_problem
        level = logging.INFO if is_expected else logging.WARNING
        reason = f": {health.reason}" if health.reason else ""
        lost = f"; {health.lost_samples} samples lost so far" if health.lost_samples else ""
        device = f" ({health.device})" if health.device else ""
        fields = {
            "source": str(health.state),
            "device": health.device,
            "lost_samples": health.lost_samples,
        }
        logger.log(
            level, "%s: source %s%s%s%s", health.machine, health.state, device, reason, lost,
            extra={"fields": fields},
        )  # fmt: skip

    def _log_evidence(self, evidence: EvidenceReady) -> None:
        """Log what differs in the sound of an event, once; the history has its newest form."""
        if self._described_events.get(evidence.machine) == evidence.event_id:
            return
        self._described_events[evidence.machine] = evidence.event_id
        clip = f" ({evidence.clip})" if evidence.clip else ""
        logger.info("%s: sound: %s%s", evidence.machine, evidence.headline, clip)


def _make_score_file(
    settings: LogSettings, node: str, metrics: Metrics, names: Names
) -> ScoreFile | None:
    if settings.scores is None:
        return None
    rotation = Rotation(
        max_bytes=int(settings.scores_max_mb * 1e6),
        max_age_s=settings.scores_max_days * DAY_S,
        kept=settings.scores_kept,
    )
    return ScoreFile(
        RotatingFile(settings.scores, rotation, setting="log.scores"), node, metrics, names=names
    )


def _log_alarm(alarm: MachineAlarm) -> None:
    """Log what a person did."""
    if alarm.who:
        comment = f": {alarm.comment}" if alarm.comment else ""
        logger.info("%s: %s by %s%s", alarm.machine, alarm.status, alarm.who, comment)


def _log_transition(event: Transition, stopped: bool) -> None:
    """Log a change of state, as a warning unless it is expected."""
    if event.previous is event.state:  # the first state after the start
        level = logging.WARNING if event.is_continued else logging.INFO
        logger.log(
            level, "%s: %s: %s", event.machine, event.state, event.reason, extra=_fields_of(event)
        )
        return
    expected = stopped or event.state in _INFO_STATES or event.previous is State.LEARNING
    note = " (provisional threshold)" if event.provisional else ""
    score, numbers = event.score, ""
    if score is not None and score.value is not None and event.state is not State.OFF:
        numbers = f" [score {format_score(score.value)}"
        numbers += f", {describe_p_value(score.p_value, score.extrapolated)}]"
    logger.log(
        logging.INFO if expected else logging.WARNING,
        "%s: %s -> %s%s: %s%s",
        event.machine,
        event.previous,
        event.state,
        note,
        event.reason,
        numbers,
        extra=_fields_of(event),
    )


def _fields_of(event: Transition) -> dict[str, dict[str, object]]:
    """Return what a log of JSON objects has of a change of state besides its message."""
    score = event.score
    return {
        "fields": {
            "state": str(event.state),
            "previous": None if event.previous is None else str(event.previous),
            "rule": event.rule,
            "event_id": event.event_id,
            "score": None if score is None else score.value,
            "p_value": None if score is None else score.p_value,
        }
    }
