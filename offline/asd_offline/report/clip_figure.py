"""Figure of several clips: spectrograms above, evidence maps below."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asd_offline.html.svg import Ticks
from asd_offline.report.clip_picture import ClipPicture, Map
from asd_offline.report.scales import (
    SPECTROGRAM_COLOURS,
    band_ticks,
    evidence_colours,
    evidence_scale,
    mel_ticks,
    spectrogram_scale,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

WIDTH_IN, HEIGHT_IN, DPI = 9.0, 5.2, 84


@dataclass(frozen=True)
class TitledPicture:
    """Picture of a clip and the title above it."""

    title: str
    picture: ClipPicture


def draw_clips(
    clips: Sequence[TitledPicture], description: Mapping[str, object], title: str
) -> bytes:
    """Draw one column per clip as a PNG; a colour means the same in all columns.

    Parameters
    ----------
    clips
        One to four clips.
    description
        Description in the model file, which says what its evidence means and in which bands.
    title
        Title of the figure.
    """
    from matplotlib.figure import Figure

    pictures = [clip.picture for clip in clips]
    maps = [picture.evidence for picture in pictures if picture.evidence is not None]
    rows = 2 if len(maps) == len(clips) else 1
    figure = Figure(figsize=(WIDTH_IN, 0.5 + 0.5 * rows * (HEIGHT_IN - 0.5)), layout="constrained")
    axes = figure.subplots(rows, len(clips), sharex="col", squeeze=False)
    figure.suptitle(title, fontsize="medium")
    levels = spectrogram_scale(pictures)
    for ax, clip in zip(axes[0], clips, strict=True):
        ax.set_title(clip.title, fontsize="small")
        image = _draw(ax, clip.picture.spectrogram, clip.picture, levels, SPECTROGRAM_COLOURS)
        _set_frequencies(ax, mel_ticks(clip.picture.max_hz))
    figure.colorbar(image, ax=axes[0].tolist(), label="dB re full scale")
    if rows == 2:
        scale = evidence_scale(pictures)
        for ax, picture, evidence in zip(axes[1], pictures, maps, strict=True):
            image = _draw(ax, evidence, picture, scale, evidence_colours(scale))
            ax.set_facecolor("0.85")  # between windows
            _set_frequencies(ax, band_ticks(description))
        meaning = str(description.get("evidence", "evidence, in the model's own unit"))
        figure.colorbar(image, ax=axes[1].tolist(), label=textwrap.fill(meaning, 30))
    for ax in axes[-1]:
        ax.set_xlabel("time in s")
    for ax in axes[:, 0]:
        ax.set_ylabel("frequency in Hz")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    return png.getvalue()


def _draw(
    ax: "Axes", values: Map, picture: ClipPicture, scale: tuple[float, float], colours: str
) -> "AxesImage":
    return ax.imshow(
        values,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0.0, picture.duration_s, 0.0, 1.0),
        cmap=colours,
        vmin=scale[0],
        vmax=scale[1],
    )


def _set_frequencies(ax: "Axes", ticks: Ticks) -> None:
    ax.set_yticks([position for position, _ in ticks])
    ax.set_yticklabels([f"{1000 * float(khz):g}" for _, khz in ticks])
