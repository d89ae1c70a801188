"""One section of the report: charts, decisions, alarm, key clips and model."""

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from asd_monitor.calibration.score_text import format_score
from asd_offline.evaluation.metrics import confusion, precision_recall_f1
from asd_offline.evaluation.rules.scoring_rules import ScoringRules
from asd_offline.replay.alarm_metrics import AlarmMetrics, format_hours, format_rules
from asd_offline.replay.results import SectionReplay
from asd_offline.report.charts import draw_histograms, draw_roc
from asd_offline.report.clip_table import render_clip_table
from asd_offline.report.pictures import KeyClip, render_key_clips

DECISION_COLUMNS = (
    "clips",
    "true negative",
    "false positive",
    "false negative",
    "true positive",
    "precision",
    "recall",
    "F1",
)


def render_section(
    section: SectionReplay, rules: ScoringRules, section_count: int, clips: Sequence[KeyClip]
) -> str:
    """Return the part of the page about one section.

    Parameters
    ----------
    section
        Result of the section.
    rules
        Scoring rules of the challenge.
    section_count
        Number of sections of the page.
    clips
        Key clips.
    """
    return (
        f'<section id="s{section.plan.number}"><h2>{escape(section.plan.name)}</h2>'
        f"{_charts(section, rules)}{_decisions(section)}"
        f"{_alarm(section)}{render_key_clips(section, clips)}"
        f"{render_clip_table(section.clips, section_count)}{_model(section)}</section>"
    )


def _charts(section: SectionReplay, rules: ScoringRules) -> str:
    figures = []
    roc = draw_roc(section, rules)
    if roc:
        caption = "ROC; shaded: region of the pAUC; dots: at the threshold"
        figures.append(f"<figure>{roc}<figcaption>{caption}</figcaption></figure>")
    for domain, drawing in draw_histograms(section):
        name = f"{escape(domain)} domain: " if domain else ""
        caption = (
            f'{name}<span class="key first normal">normal</span>'
            '<span class="key anomalous">anomalous</span>; dashed: threshold; '
            "last bin includes all higher scores"
        )
        figures.append(f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>")
    return f'<div class="charts">{"".join(figures)}</div>'


def _decisions(section: SectionReplay) -> str:
    if section.threshold is None:
        return "<p class='soft'>No decisions: the model has no threshold for this target.</p>"
    rule = f" ({escape(section.threshold_rule)})" if section.threshold_rule else ""
    threshold = f"<p class='small soft'>Threshold {format_score(section.threshold)}{rule}.</p>"
    rows = "".join(_decision_rows(section))
    if not rows:
        return threshold
    head = "".join(f"<th>{name}</th>" for name in DECISION_COLUMNS)
    return (
        f"<h3>Decisions at the threshold</h3>{_explain_decisions(section)}{threshold}"
        f'<div class="scroll" tabindex="0">'
        f'<table class="named"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _explain_decisions(section: SectionReplay) -> str:
    """Return why the decisions may miss what the alarm reports."""
    if section.threshold_source != "model":
        return ""
    return (
        "<p>A clip counts as anomalous here if its score is above the threshold for one window. "
        "That is set so high that months of normal sound stay below it, so quiet faults are missed "
        "in this table. The alarm below also reports a score that stays above its normal range. "
        "For decisions as in the challenge use <code>--decide gamma</code>.</p>"
    )


def _decision_rows(section: SectionReplay) -> Iterator[str]:
    scores = section.scores.select(section.scores.label >= 0)
    domains = [str(domain) for domain in np.unique(scores.domain)]
    groups = {domain or "all": scores.select(scores.domain == domain) for domain in domains}
    if len(groups) > 1:
        groups["all"] = scores
    for name, clips in groups.items():
        counts = confusion(clips.label, clips.decision)
        rates = "".join(f"<td>{value:.3f}</td>" for value in precision_recall_f1(counts))
        yield (
            f"<tr><td>{escape(name)}</td><td>{counts.true_negatives}</td>"
            f"<td{_class('bad', counts.false_positives)}>{counts.false_positives}</td>"
            f"<td{_class('bad', counts.false_negatives)}>{counts.false_negatives}</td>"
            f"<td{_class('good', counts.true_positives)}>{counts.true_positives}</td>{rates}</tr>"
        )


def _class(name: str, count: int) -> str:
    return f' class="{name}"' if count else ""


def _alarm(section: SectionReplay) -> str:
    """Return what the alarm does with the clips, and which rules raise it."""
    metrics = section.alarm
    if metrics is None or not (metrics.anomalies or metrics.normal_hours):
        return ""
    sentences = []
    if metrics.anomalies:
        by = f" ({format_rules(metrics.detected_by)})" if metrics.detected else ""
        delay = ""
        if metrics.median_delay_s is not None:
            delay = f", after {metrics.median_delay_s:.3g}&nbsp;s (median)"
        sentences.append(
            f"{metrics.detected} of {metrics.anomalies} anomalies raise it{by}{delay}."
        )
    if metrics.normal_hours:
        sentences.append(_describe_false_alarms(metrics))
    rules = "".join(
        f"<li><b>{escape(name)}</b>: {escape(text)}</li>" for name, text in section.rules.items()
    )
    return f"<h3>Alarm</h3><p>{' '.join(sentences)}</p><ul class='small soft'>{rules}</ul>"


def _describe_false_alarms(metrics: AlarmMetrics) -> str:
    count = "1 false alarm" if metrics.false_alarms == 1 else f"{metrics.false_alarms} false alarms"
    by = f" ({format_rules(metrics.false_alarms_by)})" if metrics.false_alarms else ""
    text = f"{count}{by} in {format_hours(metrics.normal_hours)} of normal clips"
    rate, bound = metrics.false_alarms_per_hour, metrics.max_false_alarms_per_hour
    if not metrics.supports_rate or rate is None or bound is None:
        return f"{text}: too little normal sound to estimate how often there would be one."
    return (
        f"{text}: {rate:.3g} per hour (95 % upper bound {bound:.{0 if bound >= 10 else 1}f} per "
        "hour)."
    )


def _model(section: SectionReplay) -> str:
    manifest = section.manifest
    if manifest is None:
        return ""
    rate_hz = manifest.sample_rate_hz
    facts = [
        f"{manifest.name} {manifest.revision}",
        f"target {section.plan.target}",
        f"windows of {manifest.window_samples / rate_hz:.4g} s every "
        f"{manifest.hop_samples / rate_hz:.4g} s at {rate_hz} Hz",
        f"clip score: {manifest.aggregation} of window scores",
    ]
    calibration = manifest.calibrations.get(section.plan.target)
    if calibration is not None:
        provisional = " (provisional)" if calibration.provisional else ""
        facts.append(f"calibrated on {calibration.count} held-out windows{provisional}")
    seconds = manifest.training.get("seconds")
    if isinstance(seconds, (int, float)):
        facts.append(f"fitted to {seconds / 60:.3g} min of normal sound")
    return f"<p class='small soft'>Model: {escape('; '.join(facts))}.</p>"
