"""``asd-monitor inspect``: what a model file says of itself, and whether it is whole."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.table import Table

    from asd_monitor.calibration.normal_range import NormalRange
    from asd_monitor.model_file.loaded_model import LoadedModel
    from asd_monitor.model_file.manifest import Manifest

_TIMED_RUNS = 9


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model file.")],
    as_json: AsJson = False,
) -> None:
    """Check a model file, and show its targets, thresholds, origin and speed.

    Its checksums are verified and its golden windows are scored again, on the CPU; a file that
    fails is refused with exit code 3.

    Example: `asd-monitor inspect pump.pt`
    """
    import json

    from asd_monitor.model_file import load

    scorer = load(model, "cpu")
    facts = _facts(scorer, model)
    if as_json:
        document = {**facts, "manifest": scorer.manifest.to_dict()}
        typer.echo(json.dumps(document, allow_nan=False))
    else:
        _print(facts, scorer.manifest)


def _facts(scorer: "LoadedModel", model: Path) -> dict[str, object]:
    return {
        "file": str(model),
        "sha256": scorer.sha256,
        "size_bytes": model.stat().st_size,
        "integrity": "ok",
        "golden_check": "ok",
        "evidence": scorer.has_evidence,
        "ms_per_window": _median_ms(scorer),
    }


def _median_ms(scorer: "LoadedModel") -> float:
    """Median time to score one window of noise, in ms, on one thread."""
    from time import perf_counter

    import numpy as np

    noise = np.random.default_rng(0).normal(0, 0.1, (1, scorer.manifest.window_samples))
    windows, targets = noise.astype(np.float32), np.zeros(1, np.int64)
    times_ms = []
    for _ in range(_TIMED_RUNS):
        began = perf_counter()
        scorer.score(windows, targets)
        times_ms.append(1000 * (perf_counter() - began))
    return float(np.median(times_ms))


def _print(facts: "Mapping[str, object]", manifest: "Manifest") -> None:
    from rich.console import Console

    rate_hz = manifest.sample_rate_hz
    rows = [
        ("model", f"{manifest.name} {manifest.revision}"),
        ("file", f"{facts['file']} ({facts['size_bytes']} bytes)"),
        ("sha256", facts["sha256"]),
        ("created", manifest.created_at),
        ("checks", f"checksums {facts['integrity']}, golden windows {facts['golden_check']}"),
        ("sample rate", f"{rate_hz} Hz, mono"),
        ("window", f"{manifest.window_samples} samples ({manifest.window_samples / rate_hz:g} s)"),
        ("hop", f"{manifest.hop_samples} samples ({manifest.hop_samples / rate_hz:g} s)"),
        ("clip score", f"{manifest.aggregation} of windows; higher = more anomalous"),
        ("evidence", "yes" if facts["evidence"] else "no"),
        ("speed", f"{facts['ms_per_window']:.3g} ms per window (one CPU thread, median)"),
    ]
    _print_rows("", rows)
    _print_rows("trained on", manifest.training.items())
    _print_rows("described by its maker", manifest.description.items())
    typer.echo("")
    Console(highlight=False, markup=False).print(_targets_table(manifest))
    for target, calibration in manifest.calibrations.items():
        if calibration.normal_range is not None:
            typer.echo(f"{target}: {_sustained(calibration.normal_range, manifest)}")


def _print_rows(title: str, rows: "Iterable[tuple[str, object]]") -> None:
    """Print plain lines, never cut to the terminal's width: hashes are there to be copied."""
    if title and rows:
        typer.echo(f"\n{title}")
    for name, value in rows:
        typer.echo(f"{'  ' if title else ''}{name:<18} {_short(value)}")


def _targets_table(manifest: "Manifest") -> "Table":
    from rich.table import Table

    table = Table("target", "calibration", "threshold", "p", "rule")
    for target in manifest.targets:
        calibration = manifest.calibrations.get(target)
        threshold = manifest.thresholds.get(target)
        table.add_row(
            target,
            f"{calibration.count} windows" if calibration else "none",
            f"{threshold.value:.6g}" if threshold else "-",
            f"{threshold.p:g}" if threshold else "-",
            threshold.rule if threshold else (calibration.rule if calibration else "-"),
        )
    return table


def _sustained(normal_range: "NormalRange", manifest: "Manifest") -> str:
    from asd_monitor.detection.alarm import AlarmSettings
    from asd_monitor.detection.sustained_shift import SustainedShift

    shift = SustainedShift(AlarmSettings().sustained_s)
    shift.configure(normal_range, manifest.window_samples, manifest.sample_rate_hz)
    return (
        f"a score above {normal_range.level:.6g} gives a warning after {shift.warning_s:.0f} s and "
        f"an alarm after {shift.alarm_s:.0f} s; {normal_range.segments} ten-second segments of "
        f"normal sound (effective sample size {normal_range.effective_segments:.1f})"
    )


def _short(value: object) -> str:
    import json

    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 160 else f"{text[:160]} ..."
