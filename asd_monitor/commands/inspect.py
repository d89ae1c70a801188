"""``asd-monitor inspect``: verify and describe a model file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import AsJson, RuntimeChoice, RuntimeOption, TrustedKeys
from asd_monitor.terminal.escape import on_one_line
from asd_monitor.terminal.wrapping import wrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.table import Table

    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_monitor.model_file.manifest import Manifest

CHANNELS = {1: "mono", 2: "two channels: near the machine and away from it"}
"""Sound that a model scores, by its number of channels."""
TIMED_RUNS = 9
MAX_VALUE_LENGTH = 160


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model file.")],
    run: Annotated[
        bool,
        typer.Option(
            "--run",
            help="Also load and run the model: score its reference windows and measure its speed. "
            "Only for files whose maker you trust.",
        ),
    ] = False,
    runtime: RuntimeOption = RuntimeChoice.AUTO,
    trusted_key: TrustedKeys = None,
    as_json: AsJson = False,
) -> None:
    """Verify a model file, and show its targets, thresholds and origin.

    A model file is a program of its maker. Nothing in it is run unless `--run` is given: its
    checksums and its signature are verified, its code is scanned for operators that no model needs,
    and its description is read. With `--run`, its reference windows are scored again on the CPU. A
    file that fails a check is refused with exit code 3. What it can and cannot detect is shown if
    `asd-monitor detectability` has measured it.

    Example: `asd-monitor inspect pump.asd`
    """
    import json

    from asd_monitor.commands.detectability import print_result
    from asd_monitor.detectability.measure import MODEL_NAME
    from asd_monitor.detectability.sentences import TITLE
    from asd_monitor.detectability.store import read_result
    from asd_monitor.model_file import LoadPolicy, load, verify

    policy = LoadPolicy.of_user(trusted_key or (), runtime.value)
    verified = verify(model, policy)
    manifest = verified.manifest
    facts: dict[str, object] = {
        "file": str(model),
        "sha256": verified.sha256,
        "size_bytes": verified.size_bytes,
        "checksums": "ok",
        "code": "ok",
        "origin": verified.origin,
        "runtimes": list(verified.runtimes),
    }
    if run:
        facts |= _run(load(model, "cpu", policy=policy))
    detectability = read_result(model)
    if detectability is not None and detectability.model_sha256 != verified.sha256:
        detectability = None
    if as_json:
        measured = None if detectability is None else detectability.to_dict()
        document = {**facts, "detectability": measured, "manifest": manifest.to_dict()}
        typer.echo(json.dumps(document, allow_nan=False))
        return
    _print(facts, manifest)
    if detectability is not None:
        print_result(detectability)
    elif manifest.name == MODEL_NAME:
        typer.echo(f"\n{TITLE}\n  Not measured yet: `asd-monitor detectability` does it.")


def _run(loaded: "LoadedModel") -> dict[str, object]:
    return {
        "reference_scores": "ok",
        "runtime": loaded.runtime,
        "evidence": loaded.has_evidence,
        "ms_per_window": _time_window_ms(loaded),
    }


def _time_window_ms(loaded: "LoadedModel") -> float:
    """Return the median time to score one window of noise on one thread, in ms."""
    from time import perf_counter

    import numpy as np

    noise = np.random.default_rng(0).normal(0, 0.1, (1, *loaded.manifest.window_shape))
    windows, targets = noise.astype(np.float32), np.zeros(1, np.int64)
    times_ms = []
    for _ in range(TIMED_RUNS):
        started_s = perf_counter()
        loaded.score(windows, targets)
        times_ms.append(1000 * (perf_counter() - started_s))
    return float(np.median(times_ms))


def _print(facts: "Mapping[str, object]", manifest: "Manifest") -> None:
    from asd_monitor.quickstart.recording_check import TRAINING_KEY as FINDINGS_KEY
    from asd_monitor.quickstart.recording_check import findings_of
    from asd_monitor.runtime.learned_microphones import TRAINING_KEY, learned_with
    from asd_monitor.terminal.tables import stdout_console

    rate_hz = manifest.sample_rate_hz
    rows = [
        ("model", f"{manifest.name} {manifest.revision}"),
        ("file", f"{facts['file']} ({facts['size_bytes']} bytes)"),
        ("sha256", facts["sha256"]),
        ("created", manifest.created_at),
        ("checks", _describe_checks(facts)),
        ("origin", facts["origin"]),
        ("runtimes", _describe_runtimes(facts)),
        ("sample rate", f"{rate_hz} Hz, {CHANNELS[manifest.channels]}"),
        ("window", f"{manifest.window_samples} samples ({manifest.window_samples / rate_hz:g} s)"),
        ("hop", f"{manifest.hop_samples} samples ({manifest.hop_samples / rate_hz:g} s)"),
        ("clip score", f"{manifest.aggregation} of windows; higher = more anomalous"),
    ]
    if "ms_per_window" in facts:
        rows += [
            ("evidence", "yes, see `asd-monitor picture`" if facts["evidence"] else "no"),
            (
                "speed",
                f"{facts['ms_per_window']:.3g} ms per window "
                f"({facts['runtime']}, one CPU thread, median)",
            ),
        ]
    training = dict(manifest.training)
    findings = findings_of(manifest)
    training.pop(FINDINGS_KEY, None)
    if "seconds" in training:
        training["duration"] = f"{training.pop('seconds'):g} s"
    if microphones := learned_with(training):
        del training[TRAINING_KEY]
        training["microphone"] = ", ".join(microphone.label for microphone in microphones)
    _print_rows("", rows)
    _print_rows("Training data", training.items())
    for finding in findings:
        typer.echo(wrap(f"  - {finding}"))
    _print_rows("Model description", manifest.description.items())
    typer.echo("")
    stdout_console().print(_make_targets_table(manifest))
    for target in manifest.targets:
        for text in _describe_rules(manifest, target):
            typer.echo(wrap(on_one_line(f"{target}: {text}")))


def _describe_checks(facts: "Mapping[str, object]") -> str:
    if "reference_scores" in facts:
        return f"checksums ok, code ok, reference scores {facts['reference_scores']}"
    return "checksums ok, code ok; it was not run (`--run` does, and checks its scores)"


def _describe_runtimes(facts: "Mapping[str, object]") -> str:
    """Return what the file can be scored with."""
    if "onnx" in str(facts["runtimes"]):
        return "torch, or onnxruntime alone"
    return "torch only: the file has no ONNX graphs"


def _print_rows(title: str, rows: "Iterable[tuple[str, object]]") -> None:
    """Print plain lines that are not cut to the terminal's width, so hashes can be copied."""
    if title and rows:
        typer.echo(f"\n{title}")
    rows = list(rows)
    width = max([18, *(len(name) for name, _ in rows)])
    for name, value in rows:
        line = on_one_line(f"{name:<{width}} {_shorten(value)}")
        typer.echo(f"{'  ' if title else ''}{line}")


def _make_targets_table(manifest: "Manifest") -> "Table":
    from rich.table import Table

    from asd_monitor.calibration.score_text import format_score
    from asd_monitor.terminal.tables import fold_columns

    table = Table("target", "calibration", "threshold", "p", "rule")
    for target in manifest.targets:
        calibration = manifest.calibrations.get(target)
        threshold = manifest.thresholds.get(target)
        table.add_row(
            target,
            f"{calibration.count} windows" if calibration else "none",
            format_score(threshold.value) if threshold else "-",
            f"{threshold.p:.1g}" if threshold else "-",
            threshold.rule if threshold else (calibration.rule if calibration else "-"),
        )
    return fold_columns(table)


def _describe_rules(manifest: "Manifest", target: str) -> "Iterator[str]":
    """Yield what gives a warning and what an alarm, and how much supports the normal range."""
    from asd_monitor.detection.alarm_settings import AlarmSettings
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.detection.support import describe_next_hour
    from asd_monitor.detection.verdict import explain_rules

    rule, settings = DecisionRule.from_manifest(manifest, target), AlarmSettings()
    yield from explain_rules(rule, settings).values()
    yield rule.describe_support(settings.false_alarms_per_month)
    if text := describe_next_hour(rule, settings.false_alarms_per_month):
        yield text
    if (modes := manifest.modes.get(target)) is not None:
        yield f"modes: {modes.description}"
    if rule.normal_range is not None:
        yield (
            f"the normal range was learned from {rule.normal_range.segments} ten-second segments "
            f"(effective sample size {rule.normal_range.effective_segments:.0f})"
        )


def _shorten(value: object) -> str:
    import json

    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]} ..."
