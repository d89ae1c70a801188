"""Frozen records that pass between the stages of the monitor."""

from asd_monitor.records.audio import (
    SCORED_QUALITIES,
    AudioChunk,
    FloatArray,
    Quality,
    SourceHealth,
    SourceState,
    Window,
)
from asd_monitor.records.decisions import (
    NORMAL_RANGE,
    NOT_JUDGED_WORD,
    NOT_SCORED,
    OFF_WORD,
    REMOVED,
    UNLEARNED_RULE,
    UNLEARNED_WORD,
    Decision,
    Limit,
    ScoredWindow,
    State,
    Transition,
    Verdict,
)
from asd_monitor.records.events import (
    AlarmStatus,
    Band,
    EvidenceReady,
    MachineAlarm,
    MachineRemoved,
)
from asd_monitor.records.learning import CalibrationStatus, LearningProgress, Rejection
from asd_monitor.records.scores import (
    OFF_MODE,
    PASSING_RULE,
    UNLEARNED_MODE,
    ModelInfo,
    ModeReading,
    PassingSound,
    WindowScore,
)

__all__ = [
    "NORMAL_RANGE",
    "NOT_JUDGED_WORD",
    "NOT_SCORED",
    "OFF_MODE",
    "OFF_WORD",
    "PASSING_RULE",
    "REMOVED",
    "SCORED_QUALITIES",
    "UNLEARNED_MODE",
    "UNLEARNED_RULE",
    "UNLEARNED_WORD",
    "AlarmStatus",
    "AudioChunk",
    "Band",
    "CalibrationStatus",
    "Decision",
    "EvidenceReady",
    "FloatArray",
    "LearningProgress",
    "Limit",
    "MachineAlarm",
    "MachineRemoved",
    "ModeReading",
    "ModelInfo",
    "PassingSound",
    "Quality",
    "Record",
    "Rejection",
    "ScoredWindow",
    "SourceHealth",
    "SourceState",
    "State",
    "Transition",
    "Verdict",
    "Window",
    "WindowScore",
]

Record = (
    ScoredWindow
    | Transition
    | SourceHealth
    | LearningProgress
    | EvidenceReady
    | MachineAlarm
    | CalibrationStatus
    | MachineRemoved
)
