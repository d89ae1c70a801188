"""Calibrate a model with recordings of normal sound, and write it as a new version."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asd_monitor import model_file
from asd_monitor.calibration.alarm_rate import exceedance_probability
from asd_monitor.calibration.longer_sample import CONFIRMED
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.model_file.archive import read_bytes, write_atomically
from asd_monitor.model_file.manifest import Manifest, Threshold
from asd_monitor.recalibration.extension import Extension, RuleSummary, fit_extension
from asd_monitor.recalibration.recordings import check_unseen, score_recordings
from asd_monitor.runtime.own_signature import sign_own
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.terminal.durations import format_duration

TRAINING_KEY = "calibrated_with"


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A model with another calibration, not yet written."""

    path: Path
    target: str
    before: RuleSummary
    after: RuleSummary
    rule: DecisionRule
    content: bytes
    """Of the new model file."""


def recalibrate(
    path: Path,
    target: str | None,
    recordings: Sequence[Path],
    false_alarms_per_month: float,
    at_s: float,
    policy: model_file.LoadPolicy,
    report: Callable[[Path, float], None] = lambda _path, _seconds: None,
) -> Recalibration:
    """Compute calibration, voices and limits of a model again from recordings.

    A person says that all of them are normal, so the centre may move, and nothing is bounded.

    Parameters
    ----------
    path
        The model file.
    target
        One of its targets; None: its only one.
    recordings
        Normal sound that the model was not fitted to.
    false_alarms_per_month
        Asked for, for the comparison.
    at_s
        Present time, in seconds since the epoch.
    policy
        Which model files may be run.
    report
        Called with a recording, and the seconds of sound used so far.

    Raises
    ------
    ConfigError
        If the target is unknown or ambiguous, or the recordings are worth less than the sound that
        the model was learned from, or are that sound.
    SourceError
        If a recording cannot be read.
    ModelFileError
        If the model file cannot be used.
    """
    content = read_bytes(path)
    model = model_file.load_content(content, path, "cpu", policy=policy)
    manifest = model.manifest
    if target is None and len(manifest.targets) != 1:
        msg = f"{path} has several targets; choose one with --target: {', '.join(manifest.targets)}"
        raise ConfigError(msg)
    target = manifest.targets[0 if target is None else model.target_index(target)]
    before = DecisionRule.from_manifest(manifest, target, false_alarms_per_month)
    if before.voices is None or target not in manifest.calibrations:
        msg = f"{path}: has no calibration of {target} to compare with; learn or export it again"
        raise ModelFileError(msg)
    sample = score_recordings(model, target, recordings, report)
    check_unseen(sample, model)
    extension = fit_extension(sample, manifest, at_s, CONFIRMED)
    if extension is None:
        block_s = sample.duration_s / max(len(sample), 1)
        learned = format_duration(before.voices.blocks * block_s) if block_s else "more"
        msg = (
            f"{format_duration(sample.duration_s)} of usable sound are worth less than the sound "
            f"of the present calibration ({learned}, at least ten minutes); give more recordings"
        )
        raise ConfigError(msg)
    new = _new_manifest(manifest, extension, sample.duration_s)
    after = DecisionRule.from_manifest(new, target, false_alarms_per_month)
    seconds = manifest.training.get("seconds")
    return Recalibration(
        path,
        target,
        RuleSummary.of(before, float(seconds) if isinstance(seconds, int | float) else 0.0),
        RuleSummary.of(after, sample.duration_s),
        after,
        model_file.replace_manifest(content, new),
    )


def _new_manifest(manifest: Manifest, extension: Extension, sound_s: float) -> Manifest:
    extended, target = extension.extend(manifest), extension.target
    p = exceedance_probability(1.0, manifest.window_samples / manifest.sample_rate_hz)
    calibration = extension.calibration
    threshold = Threshold(calibration.threshold(p), p, calibration.rule)
    training = {**manifest.training, TRAINING_KEY: f"{format_duration(sound_s)} of recordings"}
    return replace(
        extended, thresholds={**manifest.thresholds, target: threshold}, training=training
    )


def previous_version(path: Path) -> Path:
    """Return where the model file is kept that a new version replaces."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_version(found: Recalibration, previous: Path, state: StateFolder) -> None:
    """Keep the model file as ``previous``, and write the new version, signed with the own key.

    Raises
    ------
    ModelFileError
        If a file cannot be written.
    """
    try:
        previous.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(previous, found.path.read_bytes())
    except OSError as error:
        msg = f"{previous}: cannot be written: {error.strerror}; nothing was changed"
        raise ModelFileError(msg) from error
    write_atomically(found.path, sign_own(state, found.content))
