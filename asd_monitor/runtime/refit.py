"""Learn a machine again with recordings that people confirmed to be normal, and compare."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.audio import sample_rates
from asd_monitor.audio.windowing import SlidingWindow
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.errors import ConfigError, ModelFileError, SourceError
from asd_monitor.evidence.clip import read_flac
from asd_monitor.history.records import Event, NoteKind
from asd_monitor.judging.feedback import (
    CLIP,
    CONFIRMED_EVENTS,
    MAX_EVENTS,
    SUFFIX,
    Feedback,
    feedback_folder,
    find_feedback,
    update_recordings,
)
from asd_monitor.judging.proposal import (
    FINDINGS,
    ModelSummary,
    Proposal,
    ReplayedEvent,
    lock_models,
    proposed_model,
    write_proposal,
)
from asd_monitor.judging.store import JudgingStore
from asd_monitor.model_file.archive import write_atomically
from asd_monitor.progress import NoProgress, Progress
from asd_monitor.records import AudioChunk, FloatArray, State
from asd_monitor.runtime.learned_microphones import RecordedWith, training_entry
from asd_monitor.runtime.own_signature import sign_own
from asd_monitor.runtime.recorded_rates import RecordedRates
from asd_monitor.runtime.recording_store import CLIP_S, RecordingStore
from asd_monitor.runtime.state_dir import StateFolder

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector
    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_monitor.model_file.manifest import Manifest
    from asd_monitor.quickstart import Recording

logger = logging.getLogger(__name__)

MIN_PART_S = 2.0
"""A shorter rest of a clip is left out."""


def propose_refit(
    state: StateFolder,
    machine: str,
    *,
    alarm: AlarmSettings | None = None,
    trusted_keys: Sequence[str] = (),
    progress: Progress | None = None,
) -> Proposal:
    """Fit a model to all normal recordings and the confirmed ones; write it as a proposal.

    The model in use is not changed. It is replaced by
    :func:`asd_monitor.judging.proposal.accept`.

    Parameters
    ----------
    state
        The state folder.
    machine
        Name of a machine that was learned here.
    alarm
        When alarms are raised, for the comparison; None: the defaults.
    trusted_keys
        Public keys of makers whose model files may run; none: all may.
    progress
        Receives the progress of the fit.

    Raises
    ------
    ConfigError
        If too few recordings are confirmed.
    AsdMonitorError
        If the machine has no learned model, or a file cannot be read or written.
    """
    from asd_monitor import model_file

    store = JudgingStore(state.root)
    path = state.model_path(machine)
    if not path.is_file():
        msg = (
            f"{machine}: there is no model that was learned here ({path}); a model file from "
            "elsewhere must be trained again with the recordings in "
            f"{feedback_folder(state.root, machine)}"
        )
        raise ModelFileError(msg)
    update_recordings(store, machine)
    feedback = find_feedback(store, machine)
    if not feedback.is_enough:
        raise ConfigError(feedback.missing)
    with lock_models(state.root, machine):
        policy = model_file.LoadPolicy.of_state(state.root, trusted_keys)
        present = model_file.load(path, "cpu", policy=policy)
        proposed = proposed_model(state.root, machine)
        _fit(state, machine, feedback, present.manifest, proposed, progress or NoProgress())
        models = [present, model_file.load(proposed, "cpu", policy=policy)]
        detectors = [_make_detector(model, machine, alarm) for model in models]
        proposal = Proposal(
            machine,
            store.clock(),
            feedback.recordings,
            before=_summarise(detectors[0], machine),
            after=_summarise(detectors[1], machine),
            events=tuple(_replay_events(store, machine, detectors, alarm or AlarmSettings())),
        )
        write_proposal(state.root, proposal)
    return proposal


def _fit(
    state: StateFolder,
    machine: str,
    feedback: Feedback,
    present: "Manifest",
    out: Path,
    progress: Progress,
) -> None:
    """Fit a model with the windows of the present one, and save it."""
    import torch

    from asd_monitor import model_file, quickstart

    torch.set_num_threads(1)  # the monitor needs the other processors
    rate_hz = present.sample_rate_hz
    folder = state.recordings_path(machine)
    known = RecordingStore(machine, folder, rate_hz, "earlier").recordings
    confirmed = list(_read_confirmed(state.root, feedback, rate_hz))
    fitted = quickstart.fit(
        [*known, *confirmed],
        target=machine,
        sample_rate_hz=rate_hz,
        window_s=present.window_samples / rate_hz,
        hop_s=present.hop_samples / rate_hz,
        progress=progress,
    )
    recorded_with, rates = RecordedWith(folder.parent), RecordedRates(folder.parent)
    manifest = replace(
        fitted.manifest,
        training={
            **fitted.manifest.training,
            **training_entry(recorded_with.microphones),
            **sample_rates.training_entry(rates.rates_hz),
            CONFIRMED_EVENTS: ", ".join(feedback.recordings),
        },
    )
    content = model_file.pack(fitted.module, manifest, normal_sound=fitted.normal_sound)
    write_atomically(out, sign_own(state, content))


def _read_confirmed(root: Path, feedback: Feedback, rate_hz: int) -> "Iterator[Recording]":
    """Yield the confirmed recordings in parts of ten seconds, each event a session of its own."""
    from asd_monitor.quickstart import Recording

    part_samples = round(CLIP_S * rate_hz)
    for event_id in feedback.recordings:
        samples = _read_clip(feedback_folder(root, feedback.machine) / f"{event_id}{SUFFIX}")
        for start in range(0, len(samples), part_samples):
            part = samples[start : start + part_samples]
            if len(part) >= MIN_PART_S * rate_hz:
                name, start_s = f"{event_id}-{start // part_samples}", start / rate_hz
                yield Recording(name, part, event_id, start_s, is_confirmed=True)


def _read_clip(path: Path) -> FloatArray:
    """Return the samples of a clip; clips have the rate of the model."""
    return (read_flac(path) / 32768).astype("float32")


def _make_detector(model: "LoadedModel", machine: str, alarm: AlarmSettings | None) -> "Detector":
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import Detector

    settings = alarm or AlarmSettings()
    target = model.manifest.targets[0]
    rate = settings.false_alarms_per_month
    rule = DecisionRule.from_manifest(model.manifest, target, rate)
    return Detector(model, {machine: rule})


def _summarise(detector: "Detector", machine: str) -> ModelSummary:
    rule, manifest = detector.rule(machine), detector.manifest
    calibration, seconds = manifest.calibrations.get(rule.target), manifest.training.get("seconds")
    return ModelSummary(
        detector.model.sha256,
        rule.threshold,
        None if rule.normal_range is None else rule.normal_range.level,
        0 if calibration is None else calibration.count,
        rule.provisional,
        seconds if isinstance(seconds, int | float) else 0.0,
    )


def _replay_events(
    store: JudgingStore, machine: str, detectors: "Sequence[Detector]", alarm: AlarmSettings
) -> Iterator[ReplayedEvent]:
    """Yield what the models find in the clips of all events judged as normal or as faults."""
    for event in store.reader.events(machine, limit=MAX_EVENTS):
        if event.verdict not in (NoteKind.NORMAL, NoteKind.FAULT):
            continue
        try:
            samples = _read_clip(store.root / "events" / event.id / CLIP)
        except SourceError as error:
            logger.warning("%s is not compared: %s", event.id, error)
            continue
        before, after = (_replay(samples, event, detector, alarm) for detector in detectors)
        headline = event.headline or event.reason
        yield ReplayedEvent(event.id, event.verdict, headline, before, after)


def _replay(
    samples: FloatArray, event: Event, detector: "Detector", settings: AlarmSettings
) -> str:
    """Return the most severe finding of a model in a clip, as the monitor would find it."""
    manifest = detector.manifest
    windows = SlidingWindow(
        event.machine, manifest.window_samples, manifest.hop_samples, manifest.sample_rate_hz
    ).push(AudioChunk(start=0, samples=samples, captured_at=0.0))
    alarm = Alarm(event.machine, settings, "refit")
    alarm.configure(detector.rule(event.machine), 0.0)
    worst = 0
    for score in detector.score(windows):
        decision, _ = alarm.update(score)
        finding = {State.ALARM: 3, State.WARNING: 2}.get(decision.state, 0)
        worst = max(worst, finding or int(decision.verdict.exceeds))
    return FINDINGS[worst]
