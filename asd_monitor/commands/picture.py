"""``asd-monitor picture``: draw which parts of a recording its score comes from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import (
    Channel,
    Device,
    DeviceOption,
    ModelFile,
    Target,
    TrustedKeys,
)

if TYPE_CHECKING:
    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_offline.report.clip_figure import TitledPicture

MAX_RECORDINGS = 4


def picture(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="One to four recordings to draw.")
    ],
    model: ModelFile,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="PNG file to write.")],
    target: Target = None,
    channel: Channel = 0,
    device: DeviceOption = Device.AUTO,
    trusted_key: TrustedKeys = None,
) -> None:
    """Draw the spectrograms of recordings, and below each the parts that make its score.

    All recordings have the same colour scale, so that a normal one and a faulty one can be
    compared. Of a recording longer than a minute, only the first minute is drawn.

    Example: `asd-monitor picture normal.wav faulty.wav --model pump.asd --out pump.png`
    """
    from asd_monitor.commands.offline_extra import require_offline

    require_offline("picture", ["matplotlib"])
    from asd_monitor.commands.score import get_only_target
    from asd_monitor.errors import ConfigError
    from asd_monitor.model_file import LoadPolicy, load
    from asd_monitor.model_file.archive import write_atomically
    from asd_offline.report.clip_figure import draw_clips

    if len(files) > MAX_RECORDINGS:
        raise ConfigError(f"expected at most {MAX_RECORDINGS} recordings, got {len(files)}")
    loaded = load(model, device, policy=LoadPolicy.of_user(trusted_key or ()))
    target = target or get_only_target(loaded.manifest.targets, model)
    clips = [_score_and_draw(path, loaded, target, channel) for path in files]
    title = f"{loaded.manifest.name}, {target}"
    write_atomically(out, draw_clips(clips, loaded.manifest.description, title))
    typer.echo(f"wrote {out}: {len(clips)} recording(s)", err=True)


def _score_and_draw(
    path: Path, loaded: "LoadedModel", target: str, channel: int
) -> "TitledPicture":
    from asd_monitor.audio.files import read_model_input
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.detector import Detector
    from asd_offline.report.clip_figure import TitledPicture
    from asd_offline.report.clip_picture import compute_picture

    manifest = loaded.manifest
    channels = range(channel, channel + manifest.channels)
    samples = read_model_input(path, manifest.sample_rate_hz, channels, manifest.window_samples)
    detector = Detector(loaded, {target: DecisionRule.from_manifest(manifest, target)})
    score = detector.score_recording(samples, str(path), target).value
    score_text = "no score" if score is None else f"score {score:.4g}"
    return TitledPicture(f"{path.name}: {score_text}", compute_picture(samples, loaded, target))
