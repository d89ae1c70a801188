"""Spectrograms and evidence maps of chosen clips, drawn on common scales."""

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from asd_offline.html.png import RISING, SIGNED, SOUND, data_uri, levels
from asd_offline.html.svg import Plot, round_ticks
from asd_offline.replay.results import ScoredClip, SectionReplay
from asd_offline.report.clip_picture import ClipPicture

Shown = tuple[str, ScoredClip, ClipPicture]
FREQUENCIES_HZ = (500, 1000, 2000, 4000, 8000, 16_000)


def picture_figures(section: SectionReplay, shown: Sequence[Shown]) -> str:
    """Return a figure for each clip; colours mean the same in all of a section."""
    if not shown:
        return ""
    sound = np.concatenate([picture.spectrogram.ravel() for _, _, picture in shown])
    loudness = (float(np.quantile(sound, 0.02)), float(np.quantile(sound, 0.998)))
    maps = [picture.evidence for _, _, picture in shown if picture.evidence is not None]
    scale = evidence_scale(maps)
    figures = "".join(_figure(section, each, loudness, scale) for each in shown)
    return f'<div class="pictures">{figures}</div>'


def evidence_words(section: SectionReplay) -> str:
    """Return what the model file says that its evidence means."""
    said = _description(section).get("evidence")
    return escape(str(said)) if said else "in the model's own unit"


def _description(section: SectionReplay) -> Mapping[str, object]:
    return section.manifest.description if section.manifest else {}


def _figure(
    section: SectionReplay,
    shown: Shown,
    loudness: tuple[float, float],
    scale: tuple[float, float],
) -> str:
    kind, scored, picture = shown
    plot = _frame(picture, f"Spectrogram of {scored.clip.name}", mel_ticks(picture.top_hz))
    plot.picture(data_uri(levels(picture.spectrogram, *loudness), SOUND))
    drawings = [_finished(plot, picture, mel_ticks(picture.top_hz), "kHz")]
    if picture.evidence is not None:
        ticks = band_ticks(_description(section), len(picture.evidence))
        plot = _frame(picture, f"Evidence in {scored.clip.name}", ticks)
        colours = SIGNED if scale[0] < 0 else RISING
        plot.picture(data_uri(levels(picture.evidence, *scale), colours))
        drawings.append(_finished(plot, picture, ticks, ""))
    above = {None: "", 0: ", below the threshold", 1: ", above the threshold"}[scored.decision]
    caption = f"<b>{kind}</b>: {escape(scored.clip.name)}<br>score {scored.score:.4g}{above}"
    if scored.p_value is not None:
        caption += f", p {scored.p_value:.2g}"
    pair = "".join(drawings)
    return f'<figure><figcaption>{caption}</figcaption><div class="pair">{pair}</div></figure>'


def _frame(picture: ClipPicture, label: str, y_ticks: Sequence[tuple[float, str]]) -> Plot:
    return Plot(
        (0, picture.seconds),
        (0, 1),
        width=300,
        height=170,
        label=label,
        left=30 if y_ticks else 14,
    )


def _finished(
    plot: Plot, picture: ClipPicture, y_ticks: Sequence[tuple[float, str]], y_name: str
) -> str:
    plot.axes(round_ticks(0, picture.seconds), y_ticks, "s")
    if y_name:
        plot.note(0, -0.2, y_name, "end")
    return plot.svg()


def evidence_scale(maps: Sequence[npt.NDArray[np.float32]]) -> tuple[float, float]:
    """Return the smallest and largest value shown; about 0 where evidence has both signs."""
    values = np.concatenate([each.ravel() for each in maps]) if maps else np.zeros(1)
    values = values[np.isfinite(values)]
    if not len(values):
        return (0.0, 1.0)
    highest = float(np.quantile(np.abs(values), 0.997)) or 1.0
    return (-highest if values.min() < 0 else 0.0, highest)


def _mel(hz: float) -> float:
    return math.log10(1 + hz / 700)


def mel_ticks(top_hz: float) -> list[tuple[float, str]]:
    """Return where frequencies are on an axis from 0 to 1 that is even in mel, and their kHz."""
    return [(_mel(hz) / _mel(top_hz), f"{hz / 1000:g}") for hz in FREQUENCIES_HZ if hz <= top_hz]


def band_ticks(description: Mapping[str, object], bands: int) -> list[tuple[float, str]]:
    """Frequencies of the evidence's bands, if the model file says them in rising order."""
    said = description.get("evidence_bands_hz")
    if not isinstance(said, list) or len(said) < 2:
        return []
    centres = [float(each) for each in said if isinstance(each, (int, float))]
    if len(centres) != len(said) or any(b <= a for a, b in itertools.pairwise(centres)):
        return []
    places = (np.arange(len(centres)) + 0.5) / len(centres)
    return [
        (float(np.interp(hz, centres, places)), f"{hz / 1000:g}")
        for hz in FREQUENCIES_HZ
        if centres[0] <= hz <= centres[-1] * 1.05
    ]
