"""``asd-monitor score``: how anomalous recordings are, by a model file."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import AsJson, Channel
from asd_monitor.terminal.logging_setup import on_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asd_monitor.detection.detector import ClipScore
    from asd_monitor.model_file.loaded_model import LoadedModel


class Device(StrEnum):
    """Where a model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def score(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings to score.")],
    model: Annotated[Path, typer.Option(metavar="FILE", help="The model file.")],
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One of the model's targets; needed if it has several."),
    ] = None,
    channel: Channel = 0,
    device: Annotated[Device, typer.Option(help="Where the model runs.")] = Device.AUTO,
    as_json: AsJson = False,
) -> None:
    """Score recordings of any format, rate and width that libsndfile reads.

    Higher = more anomalous. A file that cannot be read is named on stderr with the reason; the
    others are still scored, and the exit code is 4.

    Example: `asd-monitor score monday.wav tuesday.flac --model pump.pt`
    """
    import json

    from asd_monitor.audio.files import read_recording
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import Detector
    from asd_monitor.errors import SourceError
    from asd_monitor.model_file import load

    scorer = load(model, device)
    manifest = scorer.manifest
    target = target or only_target(manifest.targets, model)
    rule = DecisionRule.from_manifest(manifest, target)
    detector = Detector(scorer, {target: rule})
    clips: list[ClipScore] = []
    unread: dict[str, str] = {}
    if not as_json:
        typer.echo(_heading(scorer, target, rule.threshold))
    for path in files:
        try:
            samples = read_recording(
                path, manifest.sample_rate_hz, channel, manifest.window_samples
            )
        except SourceError as error:
            unread[str(path)] = str(error)
            typer.echo(on_one_line(str(error)), err=True)
            continue
        clips.append(detector.score_recording(samples, str(path), target))
        if not as_json:
            typer.echo(_line(clips[-1]))
    if as_json:
        typer.echo(json.dumps(_document(scorer, target, clips, unread), allow_nan=False))
    if unread:
        raise SourceError(f"{len(unread)} of {len(files)} recordings could not be read")


def only_target(targets: "Sequence[str]", model: Path) -> str:
    """Return the model's target, or raise ConfigError with their names if there are several."""
    from asd_monitor.errors import ConfigError

    if len(targets) == 1:
        return targets[0]
    shown = ", ".join(targets[:20])
    msg = f"{model} has {len(targets)} targets: choose one with --target: {shown}"
    raise ConfigError(msg)


def _heading(scorer: "LoadedModel", target: str, threshold: float | None) -> str:
    manifest = scorer.manifest
    calibration = manifest.calibrations.get(target)
    if threshold is None:
        limit = "no threshold: this model file has no calibration"
    else:
        limit = f"threshold {threshold:.4g}"
        if calibration is not None and calibration.provisional:
            limit += f" (provisional: {calibration.count} calibration windows)"
    return (
        f"{manifest.name} {manifest.revision}, target {target}, {limit}; "
        f"clip score = {manifest.aggregation} of windows\n"
        f"{'score':>12} {'p':>9} {'windows':>7}  {'verdict':<8} file"
    )


def _line(clip: "ClipScore") -> str:
    name = on_one_line(clip.name)
    if clip.value is None:
        qualities = sorted({str(each.quality) for each in clip.windows})
        return f"{'-':>12} {'-':>9} {len(clip.windows):>7}  {','.join(qualities):<8} {name}"
    p_value = "-" if clip.p_value is None else f"{clip.p_value:.2g}"
    if clip.extrapolated:
        p_value = f"~{p_value}"
    verdict = {None: "-", True: "ABOVE", False: "normal"}[clip.above]
    line = f"{clip.value:>12.6g} {p_value:>9} {len(clip.windows):>7}  {verdict:<8} {name}"
    return f"{line}{_flagged(clip)}"


def _flagged(clip: "ClipScore") -> str:
    """Tell which windows a verdict does without, or should not be trusted for."""
    counts = Counter(str(each.quality) for each in clip.windows if each.quality != "ok")
    told = ", ".join(f"{count} {quality}" for quality, count in sorted(counts.items()))
    return f"  ({told})" if told else ""


def _document(
    scorer: "LoadedModel", target: str, clips: "Sequence[ClipScore]", unread: "Mapping[str, str]"
) -> dict[str, object]:
    manifest = scorer.manifest
    return {
        "model": {"name": manifest.name, "revision": manifest.revision, "sha256": scorer.sha256},
        "target": target,
        "aggregation": manifest.aggregation,
        "recordings": [_clip_document(clip, manifest.sample_rate_hz) for clip in clips],
        "unread": dict(unread),
    }


def _clip_document(clip: "ClipScore", sample_rate_hz: int) -> dict[str, object]:
    return {
        "file": clip.name,
        "score": clip.value,
        "p_value": clip.p_value,
        "extrapolated": clip.extrapolated,
        "threshold": clip.threshold,
        "above_threshold": clip.above,
        "windows": [
            {
                "start_s": each.window_start / sample_rate_hz,
                "score": each.value,
                "p_value": each.p_value,
                "quality": str(each.quality),
                "level_dbfs": each.level_dbfs,
            }
            for each in clip.windows
        ],
    }
