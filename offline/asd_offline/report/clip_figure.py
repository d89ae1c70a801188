"""A figure of clips: the sound, and below it where the model says that its score comes from."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_offline.report.clip_picture import ClipPicture
from asd_offline.report.pictures import band_ticks, evidence_scale, mel_ticks

WIDTH_IN, HEIGHT_IN, DPI = 9.0, 5.2, 84


@dataclass(frozen=True)
class ShownClip:
    """A clip with what is written above it."""

    title: str
    picture: ClipPicture


def clip_figure(shown: Sequence[ShownClip], description: Mapping[str, object], title: str) -> bytes:
    """Return a PNG: a column for each clip, colours mean the same in all of them.

    Parameters
    ----------
    shown
        One to four clips.
    description
        Of the model file: what its evidence means, and in which bands.
    title
        Above the figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with_evidence = all(each.picture.evidence is not None for each in shown)
    rows = 2 if with_evidence else 1
    figure = Figure(figsize=(WIDTH_IN, 0.5 + 0.5 * rows * (HEIGHT_IN - 0.5)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes: Any = figure.subplots(rows, len(shown), sharex="col", squeeze=False)
    figure.suptitle(title, fontsize="medium")
    sound = np.concatenate([each.picture.spectrogram.ravel() for each in shown])
    loudness = (float(np.quantile(sound, 0.02)), float(np.quantile(sound, 0.998)))
    image: Any = None
    for place, each in zip(axes[0], shown, strict=True):
        place.set_title(each.title, fontsize="small")
        image = _draw(place, each.picture, each.picture.spectrogram, loudness, "magma")
        _frequencies(place, mel_ticks(each.picture.top_hz))
    figure.colorbar(image, ax=axes[0].tolist(), label="dB re full scale")
    if with_evidence:
        _draw_evidence(figure, axes[1], shown, description)
    for place in axes[-1]:
        place.set_xlabel("time in s")
    for place in axes[:, 0]:
        place.set_ylabel("frequency in Hz")
    buffer = io.BytesIO()
    canvas.figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _draw_evidence(
    figure: Any,  # noqa: ANN401 - matplotlib has no precise types
    axes: Any,  # noqa: ANN401
    shown: Sequence[ShownClip],
    description: Mapping[str, object],
) -> None:
    maps = [each.picture.evidence for each in shown if each.picture.evidence is not None]
    scale = evidence_scale(maps)
    colours = "RdBu_r" if scale[0] < 0 else "viridis"
    image: Any = None
    for place, each, evidence in zip(axes, shown, maps, strict=True):
        image = _draw(place, each.picture, evidence, scale, colours)
        place.set_facecolor("0.85")  # where no window is
        _frequencies(place, band_ticks(description, len(evidence)))
    words = str(description.get("evidence", "evidence, in the model's own unit"))
    figure.colorbar(image, ax=axes.tolist(), label=textwrap.fill(words, 30))


def _draw(
    place: Any,  # noqa: ANN401
    picture: ClipPicture,
    values: npt.NDArray[np.float32],
    scale: tuple[float, float],
    colours: str,
) -> Any:  # noqa: ANN401
    return place.imshow(
        values,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0.0, picture.seconds, 0.0, 1.0),
        cmap=colours,
        vmin=scale[0],
        vmax=scale[1],
    )


def _frequencies(place: Any, ticks: Sequence[tuple[float, str]]) -> None:  # noqa: ANN401
    place.set_yticks([at for at, _ in ticks], [f"{float(khz) * 1000:g}" for _, khz in ticks])
