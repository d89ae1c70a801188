"""Table of all clips of a section, with their verdicts; sorted by score without JavaScript."""

from collections.abc import Sequence
from html import escape

from asd_monitor.calibration.score_text import format_p_value, format_score
from asd_offline.replay.records import ClipResult
from asd_offline.replay.results import LABEL_NAMES

MAX_CLIPS = 6000
"""Clips of a report; at about 150 bytes each, their tables stay below 1 MB."""


def render_clip_table(clips: Sequence[ClipResult], section_count: int) -> str:
    """Return a table of the clips that can be opened, the highest score first.

    Parameters
    ----------
    clips
        All clips of the section that have a score.
    section_count
        Number of sections that share ``MAX_CLIPS``.
    """
    ordered = sorted(clips, key=lambda result: -(result.value or 0.0))
    shown = ordered[: max(MAX_CLIPS // max(section_count, 1), 1)]
    has_domains = any(result.clip.domain for result in shown)
    headings = ["file", "label", *(["domain"] if has_domains else []), "score", "p", "verdict"]
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    rows = "".join(_render_row(result, has_domains) for result in shown)
    more = len(ordered) - len(shown)
    rest = f"<p class='small soft'>and {more} more, with lower scores</p>" if more else ""
    return (
        f"<details><summary>All {len(ordered)} clips</summary>"
        f'<div class="scroll"><table class="clips"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{rest}</details>"
    )


def _render_row(result: ClipResult, has_domains: bool) -> str:
    verdict = result.verdict
    title = escape(verdict.sentence, quote=True)
    css_class = ' class="bad"' if verdict.exceeds else ""
    domain = f"<td>{escape(result.clip.domain)}</td>" if has_domains else ""
    return (
        f"<tr><td>{escape(result.clip.name)}</td><td>{LABEL_NAMES[result.clip.label]}</td>{domain}"
        f'<td data-value="{result.value}">{format_score(result.value)}</td>'
        f'<td data-value="{2 if result.p_value is None else result.p_value}">'
        f"{format_p_value(result.p_value)}</td>"
        f'<td{css_class} title="{title}">{escape(verdict.word)}</td></tr>'
    )
