"""Key clips of a section: spectrograms and evidence maps on common scales."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from asd_monitor.calibration.score_text import format_p_value, format_score
from asd_offline.html.images import colour_bar, png_data_uri
from asd_offline.html.svg import Plot, Ticks, round_ticks
from asd_offline.replay.records import ClipResult
from asd_offline.replay.results import SectionReplay
from asd_offline.report.clip_picture import ClipPicture, Map
from asd_offline.report.scales import (
    SPECTROGRAM_COLOURS,
    band_ticks,
    evidence_colours,
    evidence_scale,
    mel_ticks,
    spectrogram_scale,
)


@dataclass(frozen=True)
class KeyClip:
    """A clip that a report shows."""

    description: str
    """Why it was selected."""
    result: ClipResult
    picture: ClipPicture


def render_key_clips(section: SectionReplay, clips: Sequence[KeyClip]) -> str:
    """Return a figure of each clip; a colour means the same in all of them."""
    if not clips:
        return ""
    pictures = [clip.picture for clip in clips]
    levels, scale = spectrogram_scale(pictures), evidence_scale(pictures)
    level_bar = colour_bar(f"{levels[0]:.0f}", f"{levels[1]:.0f} dBFS", SPECTROGRAM_COLOURS)
    legend = f"Mel spectrogram {level_bar}"
    if any(picture.evidence is not None for picture in pictures):
        meaning = _description(section).get("evidence") or "evidence, in the model's own unit"
        bar = colour_bar(f"{scale[0]:.2g}", f"{scale[1]:.2g}", evidence_colours(scale))
        legend += f"; where the score comes from: {escape(str(meaning))} {bar}"
    figures = "".join(_figure(section, clip, levels, scale) for clip in clips)
    return (
        f"<h3>Key clips</h3><p class='small soft'>{legend}</p>"
        f'<div class="pictures">{figures}</div>'
    )


def _description(section: SectionReplay) -> dict[str, object]:
    return dict(section.manifest.description) if section.manifest else {}


def _figure(
    section: SectionReplay,
    clip: KeyClip,
    levels: tuple[float, float],
    scale: tuple[float, float],
) -> str:
    result, picture = clip.result, clip.picture
    name = result.clip.name
    images = [
        _image(
            picture.spectrogram,
            levels,
            SPECTROGRAM_COLOURS,
            picture.duration_s,
            mel_ticks(picture.max_hz),
            f"Spectrogram of {name}",
        )
    ]
    if picture.evidence is not None:
        images.append(
            _image(
                picture.evidence,
                scale,
                evidence_colours(scale),
                picture.duration_s,
                band_ticks(_description(section)),
                f"Evidence in {name}",
            )
        )
    facts = f"score {format_score(result.value)}, {result.verdict.word}"
    if result.p_value is not None:
        facts += f", p {format_p_value(result.p_value)}"
    label = escape(f"Sound of {name}", quote=True)
    sound = f'<audio controls preload="none" src="{picture.sound}" aria-label="{label}"></audio>'
    return (
        f"<figure><figcaption><b>{clip.description}</b>: {escape(facts)}<br>{escape(name)}"
        f'</figcaption><div class="pair">{"".join(images)}</div>{sound if picture.sound else ""}'
        "</figure>"
    )


def _image(
    values: Map,
    scale: tuple[float, float],
    colours: str,
    duration_s: float,
    frequencies: Ticks,
    label: str,
) -> str:
    plot = Plot(
        (0, duration_s),
        (0, 1),
        width=300,
        height=176,
        label=label,
        left=42 if frequencies else 14,
    )
    plot.add_image(png_data_uri(values, *scale, colours))
    plot.add_axes(round_ticks(0, duration_s), _with_unit(frequencies), "time in s")
    return plot.to_svg()


def _with_unit(frequencies: Ticks) -> Ticks:
    """Return the ticks with the unit at the highest one, where it cannot be taken for another."""
    if not frequencies:
        return frequencies
    position, text = frequencies[-1]
    return [*frequencies[:-1], (position, f"{text} kHz")]
