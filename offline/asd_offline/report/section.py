"""One section of the report: curves, histograms, decisions, alarm, pictures, its model."""

from collections.abc import Iterator, Sequence
from html import escape

from asd_monitor.detection.alarm import AlarmSettings
from asd_offline.evaluation.metrics import confusion, precision_recall_f1
from asd_offline.replay.alarm_metrics import AlarmMetrics
from asd_offline.replay.results import ScoredClip, SectionReplay
from asd_offline.report.charts import histograms, roc_chart
from asd_offline.report.pictures import Shown, evidence_words, picture_figures


def section_part(
    section: SectionReplay, rules: int, alarm: AlarmSettings, shown: Sequence[Shown]
) -> str:
    """Return the part of the page about one section.

    Parameters
    ----------
    section
        What came out for it.
    rules
        Year whose rules are followed.
    alarm
        The alarm's rules.
    shown
        Pictures of clips.
    """
    parts = [
        f'<section id="s{section.plan.number}"><h2>{escape(section.plan.name)}</h2>',
        _charts(section, rules),
        _decisions(section),
        _alarm(section.alarm, alarm) if section.alarm else "",
        _pictures(section, shown),
        _model(section),
        "</section>",
    ]
    return "".join(parts)


def _charts(section: SectionReplay, rules: int) -> str:
    figures = []
    roc = roc_chart(section, rules)
    if roc:
        caption = "ROC. Shaded: the pAUC's region. Dots: at the threshold."
        figures.append(f"<figure>{roc}<figcaption>{caption}</figcaption></figure>")
    for domain, drawing in histograms(section):
        where = f"{escape(domain)} domain: " if domain else ""
        key = (
            '<span class="key first normal">normal</span><span class="key anomalous">anomalous'
            "</span>; dashed: threshold; the last bar holds all above it"
        )
        figures.append(f"<figure>{drawing}<figcaption>{where}{key}</figcaption></figure>")
    return f'<div class="charts">{"".join(figures)}</div>'


def _decisions(section: SectionReplay) -> str:
    if section.threshold is None:
        return "<p class='soft'>No decisions: the model has no threshold for this target.</p>"
    rows = "".join(_decision_rows(section))
    rule = f" ({escape(section.rule)})" if section.rule else ""
    words = f"<p class='small soft'>Threshold {section.threshold:.5g}{rule}.</p>"
    if not rows:
        return words
    head = "".join(
        f"<th>{name}</th>"
        for name in (
            "clips",
            "normal, quiet",
            "false alarm",
            "missed",
            "found",
            "precision",
            "recall",
            "F1",
        )
    )
    return (
        f"<h3>Decisions at the threshold</h3>{words}"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def _decision_rows(section: SectionReplay) -> Iterator[str]:
    domains = sorted({each.clip.domain for each in section.clips})
    groups: list[tuple[str, list[ScoredClip]]] = [
        (domain, [each for each in section.clips if each.clip.domain == domain])
        for domain in domains
    ]
    if len(domains) > 1:
        groups.append(("all", list(section.clips)))
    for name, clips in groups:
        known = [each for each in clips if each.clip.label is not None]
        if not known:
            continue
        counts = confusion(
            [each.clip.label or 0 for each in known], [each.decision or 0 for each in known]
        )
        rates = "".join(f"<td>{value:.3f}</td>" for value in precision_recall_f1(counts))
        yield (
            f"<tr><td>{escape(name or 'all')}</td><td>{counts.true_negatives}</td>"
            f"<td{_class('bad', counts.false_positives)}>{counts.false_positives}</td>"
            f"<td{_class('bad', counts.false_negatives)}>{counts.false_negatives}</td>"
            f"<td{_class('good', counts.true_positives)}>{counts.true_positives}</td>{rates}</tr>"
        )


def _class(name: str, count: int) -> str:
    return f' class="{name}"' if count else ""


def _alarm(found: AlarmMetrics, rules: AlarmSettings) -> str:
    sentences = []
    if found.anomalies:
        text = f"{found.detected} of {found.anomalies} anomalies raise the alarm"
        if found.median_delay_s is not None:
            text += f", half of them within {found.median_delay_s:.3g} s"
        sentences.append(f"{text}.")
    if found.normal_hours and found.false_alarms_per_hour is not None:
        bound = found.highest_rate_per_hour
        sentences.append(
            f"{found.false_alarms} false alarms in {found.normal_hours:.3g} h of normal clips: "
            f"{found.false_alarms_per_hour:.3g} per hour (with so little sound, anything up to "
            f"{bound:.{0 if bound and bound >= 10 else 1}f} per hour is possible at 95 %)."
        )
    if not sentences:
        return ""
    rule = f"{rules.min_exceedances} of {rules.window_count} windows"
    return f"<h3>At the alarm ({rule})</h3><p>{' '.join(sentences)}</p>"


def _pictures(section: SectionReplay, shown: Sequence[Shown]) -> str:
    if not shown:
        return ""
    words = "Spectrograms (mel)"
    if any(picture.evidence is not None for _, _, picture in shown):
        words += f"; to the right where the score comes from: {evidence_words(section)}"
    return (
        f"<h3>Clips that mattered most</h3><p class='small soft'>{words}. Colours mean the same "
        f"in all clips of this section.</p>{picture_figures(section, shown)}"
    )


def _model(section: SectionReplay) -> str:
    manifest = section.manifest
    if manifest is None:
        return ""
    rate_hz = manifest.sample_rate_hz
    facts = [
        f"{escape(manifest.name)} {escape(manifest.revision)}",
        f"target {escape(section.plan.target)}",
        f"windows of {manifest.window_samples / rate_hz:.4g} s every "
        f"{manifest.hop_samples / rate_hz:.4g} s at {rate_hz} Hz",
        f"clip score: {manifest.aggregation} of windows",
    ]
    calibration = manifest.calibrations.get(section.plan.target)
    if calibration is not None:
        thin = ", provisional" if calibration.provisional else ""
        facts.append(f"calibrated on {calibration.count} held-out windows{thin}")
    seconds = manifest.training.get("seconds")
    if isinstance(seconds, (int, float)):
        facts.append(f"fitted to {seconds / 60:.3g} min of normal sound")
    return f"<p class='small soft'>{'; '.join(facts)}.</p>"
