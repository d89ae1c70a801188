"""``asd-monitor picture``: what a model looks at in a recording."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import Channel, Device

if TYPE_CHECKING:
    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_offline.report.clip_figure import ShownClip

AT_MOST = 4


def picture(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="One to four recordings.")],
    model: Annotated[Path, typer.Option(metavar="FILE", help="The model file.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The PNG to write.")],
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One of the model's targets; needed if it has several."),
    ] = None,
    channel: Channel = 0,
    device: Device = "auto",
) -> None:
    """Draw recordings side by side, and below each where the model says its score comes from.

    Colours mean the same in all of them, so that a normal one beside a faulty one shows the
    difference. Of a recording longer than a minute, the first minute is drawn.

    Example: `asd-monitor picture normal.wav faulty.wav --model pump.pt --out pump.png`
    """
    from asd_monitor.commands.offline_extra import require_offline

    require_offline("picture", ["matplotlib", "torchaudio"])
    from asd_monitor.commands.score import only_target
    from asd_monitor.errors import ConfigError
    from asd_monitor.model_file.archive import write_atomically

    if len(files) > AT_MOST:
        raise ConfigError(f"expected at most {AT_MOST} recordings, got {len(files)}")
    from asd_monitor.model_file import load
    from asd_offline.report.clip_figure import clip_figure

    scorer = load(model, device)
    target = target or only_target(scorer.manifest.targets, model)
    shown = [_shown(path, scorer, target, channel) for path in files]
    title = f"{scorer.manifest.name}, {target}"
    write_atomically(out, clip_figure(shown, scorer.manifest.description, title))
    typer.echo(f"{out}: {len(shown)} recordings", err=True)


def _shown(path: Path, scorer: "LoadedModel", target: str, channel: int) -> "ShownClip":
    from asd_monitor.audio.files import read_recording
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import Detector
    from asd_offline.report.clip_figure import ShownClip
    from asd_offline.report.clip_picture import picture_of

    manifest = scorer.manifest
    samples = read_recording(path, manifest.sample_rate_hz, channel, manifest.window_samples)
    detector = Detector(scorer, {target: DecisionRule.from_manifest(manifest, target)})
    score = detector.score_recording(samples, str(path), target).value
    said = "no score" if score is None else f"score {score:.4g}"
    return ShownClip(f"{path.name}: {said}", picture_of(samples, scorer, target))
