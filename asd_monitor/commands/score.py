"""``asd-monitor score``: compute the anomaly scores of recordings."""

import os
import sys
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.interrupt import exit_on_interrupt
from asd_monitor.commands.options import (
    AsJson,
    Channel,
    Device,
    DeviceOption,
    ModelFile,
    RuntimeChoice,
    RuntimeOption,
    Target,
    TrustedKeys,
)
from asd_monitor.terminal.escape import on_one_line
from asd_monitor.terminal.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import ClipScore
    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_monitor.runtime.score_files import ScoredFile, ScoreJob

MAX_LISTED_TARGETS = 20
MIN_PROGRESS_S = 300.0
"""A bar is displayed for this much sound or more."""


def score(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="The recordings to score, or folders of recordings."),
    ],
    model: ModelFile,
    target: Target = None,
    channel: Channel = 0,
    device: DeviceOption = Device.AUTO,
    runtime: RuntimeOption = RuntimeChoice.AUTO,
    trusted_key: TrustedKeys = None,
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", min=1, help="Number of processes.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Score recordings; a higher score is more anomalous.

    WAV, FLAC, Ogg, MP3, AIFF, W64 and AU of any sampling rate and sample width are read; of a
    folder, all such files below it. A file that cannot be read, or a folder without recordings, is
    reported on stderr; the others are still scored, and the exit code is 4. Recordings may have any
    length: they are read in blocks. With several processes (`--jobs`), the results and their order
    are the same.

    The verdict compares the recording with normal sound: "above threshold", "above normal range"
    (its median score is; the monitor reports it if it lasts) or "within normal range".

    Example: `asd-monitor score monday.wav tuesday.flac --model pump.asd`
    """
    import json

    from asd_monitor.audio import sample_rates
    from asd_monitor.audio.files import describe_silent_channel
    from asd_monitor.detection.alarm_settings import AlarmSettings
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.verdict import explain_rules
    from asd_monitor.errors import SourceError
    from asd_monitor.model_file import LoadPolicy, load_content
    from asd_monitor.model_file.archive import read_bytes
    from asd_monitor.runtime.score_files import ScoreJob

    content = read_bytes(model)
    policy = LoadPolicy.of_user(trusted_key or (), runtime.value)
    loaded = load_content(content, model, device, policy=policy)
    manifest = loaded.manifest
    target = target or get_only_target(manifest.targets, model)
    rule = DecisionRule.from_manifest(manifest, target)
    clips: list[ClipScore] = []
    paths, unreadable = _find_files(files)
    rates_hz: list[int] = []
    folder = _common_folder(paths)
    if not as_json:
        typer.echo(_format_heading(loaded, rule, folder))
    job = ScoreJob(model, content, loaded.device, target, channel, loaded.runtime)
    with (
        exit_on_interrupt("the recordings listed above are scored, the others are not"),
        _scored(paths, job, loaded, jobs) as (results, print_line),
    ):
        for result in results:
            if result.clip is None:
                unreadable[str(result.path)] = result.problem
                typer.echo(on_one_line(result.problem), err=True)
                continue
            rates_hz.append(result.rate_hz)
            clips.append(result.clip)
            if not as_json:
                print_line(_format_clip(result.clip, folder))
    silent = [clip for clip in clips if {window.quality for window in clip.windows} == {"silent"}]
    learned_hz = sample_rates.learned_rates_hz(manifest.training)
    notes = sample_rates.describe_differences(
        rates_hz, learned_hz, manifest.sample_rate_hz, "recordings"
    )
    notes += filter(None, (describe_silent_channel(Path(clip.name), channel) for clip in silent))
    if not as_json:
        summary = _format_summary(clips, explain_rules(rule, AlarmSettings()), notes)
        typer.echo(wrap(summary), nl=bool(summary))
    else:
        document = _to_dict(loaded, target, clips, unreadable)
        for recording, rate_hz in zip(document["recordings"], rates_hz, strict=True):
            recording["sample_rate_hz"] = rate_hz
        typer.echo(json.dumps({**document, "notes": notes}, allow_nan=False))
    if unreadable:
        total = len(clips) + len(unreadable)
        raise SourceError(f"{len(unreadable)} of {total} recordings could not be read")


@contextmanager
def _scored(
    paths: "Sequence[Path]", job: "ScoreJob", model: "LoadedModel", jobs: int
) -> "Iterator[tuple[Iterator[ScoredFile], Callable[[str], None]]]":
    """Provide the results of the recordings, under a progress bar, and what prints their lines."""
    from asd_monitor.runtime.score_files import score_files, total_duration_s
    from asd_monitor.terminal.progress import console_progress

    total_s = total_duration_s(paths, job.channel) if sys.stderr.isatty() else 0.0
    output = sys.stdout  # the bar replaces it meanwhile
    with console_progress(quiet=total_s < MIN_PROGRESS_S) as progress:

        def show(done_s: float) -> None:
            progress.update("scoring", done_s, total_s)

        def print_line(text: str) -> None:
            if total_s >= MIN_PROGRESS_S and output.isatty():
                progress.message(text)
            else:
                typer.echo(text, file=output)

        results = score_files(paths, job, model, jobs, show)
        with closing(results):
            yield results, print_line


def _find_files(given: "Sequence[Path]") -> tuple[list[Path], dict[str, str]]:
    """Return the files to score, and why each folder without recordings has none."""
    from asd_monitor.errors import SourceError
    from asd_monitor.sources.playlist import find_recordings

    paths: list[Path] = []
    unreadable: dict[str, str] = {}
    for path in given:
        try:
            paths += [file for _, file in find_recordings([path])] if path.is_dir() else [path]
        except SourceError as error:
            unreadable[str(path)] = str(error)
    if not paths:
        raise SourceError("; ".join(unreadable.values()))
    for message in unreadable.values():
        typer.echo(on_one_line(message), err=True)
    return paths, unreadable


def _common_folder(paths: "Sequence[Path]") -> Path | None:
    """Return the folder below which all of several files are, to be named once."""
    if len(paths) < 2 or len({path.is_absolute() for path in paths}) > 1:
        return None
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return folder if folder.name else None


def get_only_target(targets: "Sequence[str]", model: Path) -> str:
    """Return the model's target, or raise ConfigError with their names if there are several."""
    from asd_monitor.errors import ConfigError

    if len(targets) == 1:
        return targets[0]
    listed = ", ".join(targets[:MAX_LISTED_TARGETS])
    msg = f"{model} has {len(targets)} targets: choose one with --target: {listed}"
    raise ConfigError(msg)


def _format_heading(loaded: "LoadedModel", rule: "DecisionRule", folder: Path | None) -> str:
    from asd_monitor.calibration.score_text import format_score

    manifest = loaded.manifest
    calibration = manifest.calibrations.get(rule.target)
    if rule.threshold is None:
        limit = "no threshold: this model file has no calibration"
    else:
        limit = f"threshold {format_score(rule.threshold)}"
        if calibration is not None and calibration.provisional:
            limit += f" (provisional: {calibration.count} calibration windows)"
        if rule.normal_range is not None:
            limit += f", normal range up to {format_score(rule.normal_range.level)}"
    heading = wrap(
        f"{manifest.name} {manifest.revision}, target {rule.target}, {limit}; "
        f"clip score = {manifest.aggregation} of windows"
    )
    place = "" if folder is None else f" in {on_one_line(str(folder))}"
    return f"{heading}\n{'score':>10} {'p':>6} {'windows':>7}  {'verdict':<18} file{place}"


def _format_clip(clip: "ClipScore", folder: Path | None) -> str:
    from asd_monitor.calibration.score_text import format_p_value, format_score

    name = clip.name if folder is None else str(Path(clip.name).relative_to(folder))
    return (
        f"{format_score(clip.value):>10} {format_p_value(clip.p_value):>6} "
        f"{len(clip.windows):>7}  {clip.verdict.word:<18} "
        f"{on_one_line(name)}{_format_quality(clip)}"
    )


def _format_summary(
    clips: "Sequence[ClipScore]", rules: "Mapping[str, str]", notes: "Sequence[str]"
) -> str:
    """Return how many recordings have each verdict, and when the monitor reports them."""
    if not clips:
        return ""
    counts = Counter(clip.verdict.word for clip in clips)
    lines = ["", ", ".join(f"{count} {word}" for word, count in counts.most_common())]
    lines += [f"  {text}" for text in rules.values()]
    return "\n".join([*lines, *(f"Note: {note}" for note in notes)])


def _format_quality(clip: "ClipScore") -> str:
    """Count the windows that were not scored, or whose score should not be trusted."""
    counts = Counter(str(window.quality) for window in clip.windows if window.quality != "ok")
    text = ", ".join(f"{count} {quality}" for quality, count in sorted(counts.items()))
    return f"  ({text})" if text else ""


def _to_dict(
    loaded: "LoadedModel",
    target: str,
    clips: "Sequence[ClipScore]",
    unreadable: "Mapping[str, str]",
) -> dict[str, Any]:
    manifest = loaded.manifest
    return {
        "model": {"name": manifest.name, "revision": manifest.revision, "sha256": loaded.sha256},
        "target": target,
        "aggregation": manifest.aggregation,
        "recordings": [_clip_to_dict(clip, manifest.sample_rate_hz) for clip in clips],
        "unreadable": dict(unreadable),
    }


def _clip_to_dict(clip: "ClipScore", sample_rate_hz: int) -> dict[str, object]:
    return {
        "file": clip.name,
        "score": clip.value,
        "p_value": clip.p_value,
        "extrapolated": clip.extrapolated,
        "threshold": clip.threshold,
        "above_threshold": clip.above,
        "verdict": asdict(clip.verdict),
        "windows": [
            {
                "start_s": window.window_start / sample_rate_hz,
                "score": window.value,
                "p_value": window.p_value,
                "quality": str(window.quality),
                "level_dbfs": window.level_dbfs,
            }
            for window in clip.windows
        ],
    }
