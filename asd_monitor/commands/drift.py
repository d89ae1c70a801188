"""``asd-monitor drift``: the sound of the last days against that of commissioning."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import AsJson, StateDir, TrustedKeys
from asd_monitor.commands.state_options import ConfigFile, Since, Until, find_state, load_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asd_monitor.recalibration.drift import Drift


def drift(
    machine: Annotated[
        list[str] | None,
        typer.Option(
            "--machine", metavar="NAME", help="Only this machine. Repeatable.", show_default=False
        ),
    ] = None,
    since: Since = "7d",
    until: Until = None,
    trusted_key: TrustedKeys = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Compare the sound of the last days with that of commissioning.

    The monitor keeps the medians of each hour: of the parts of the score, of the level, and of
    sixth-octave bands (these only while evidence of events is kept). What changes slowly is never
    learned, so it can be seen here long before it raises an alarm.

    Example: `asd-monitor drift --machine pump --since 30d`
    """
    import json
    import time
    from dataclasses import asdict

    from asd_monitor.terminal.durations import parse_moment

    now = time.time()
    span = parse_moment(since, now), now if until is None else parse_moment(until, now)
    root = find_state(state_dir, config).root
    keys = trusted_key or ()
    names = machine or _list_machines(root)
    found = {name: _measure(name, root, config, keys, span) for name in names}
    if as_json:
        document = {
            name: asdict(each) | {"sentence": each.sentence, "is_notable": each.is_notable}
            for name, each in found.items()
        }
        typer.echo(json.dumps(document, allow_nan=False))
        return
    for name, each in found.items():
        _print(name, each)


def _list_machines(root: Path) -> list[str]:
    from asd_monitor.errors import StateError
    from asd_monitor.recalibration.files import FOLDER

    names = sorted(path.stem for path in (root / FOLDER).glob("*.hours"))
    if not names:
        msg = (
            f"{root / FOLDER}: no hours are stored yet; the monitor stores one for every hour of "
            "sound of a machine that runs (setting `learn.while_monitoring`)"
        )
        raise StateError(msg)
    return names


def _measure(
    name: str,
    root: Path,
    config: Path | None,
    keys: "Sequence[str]",
    span: tuple[float, float],
) -> "Drift":
    from asd_monitor import model_file
    from asd_monitor.detection.decision_rule import DecisionRule
    from asd_monitor.errors import ModelFileError
    from asd_monitor.recalibration.drift import Reference, measure_drift
    from asd_monitor.recalibration.files import CalibrationFiles
    from asd_monitor.recalibration.followed_machine import TREND_S
    from asd_monitor.recalibration.hours import read_hours

    path, target = root / "models" / f"{name}.asd", None
    if config is not None:
        settings = load_config(config)
        keys = keys or settings.models.trusted_keys
        if name in settings.machines:
            path, target = settings.machines[name].model or path, settings.machines[name].target
    model = model_file.load(path, "cpu", policy=model_file.LoadPolicy.of_state(root, keys))
    targets = model.manifest.targets
    target = target or (name if name in targets else targets[0])
    rule = DecisionRule.from_manifest(model.manifest, target)
    if rule.voices is None:
        raise ModelFileError(f"{path}: has no sound of commissioning to compare with")
    reference = Reference(rule.voices, rule.levels, model.normal_sound.get(target))
    hours = read_hours(CalibrationFiles(root, name).hours, span[0] - TREND_S)
    own = [hour for hour in hours if hour.model_sha256 == model.sha256]
    return measure_drift(own, reference, *span)


def _print(name: str, found: "Drift") -> None:
    from rich.table import Table

    from asd_monitor.terminal.escape import on_one_line
    from asd_monitor.terminal.tables import fold_columns, stdout_console

    typer.echo(on_one_line(f"{name}: {found.sentence}"))
    if not found.is_known:
        return
    table = Table("", "change since commissioning", box=None, pad_edge=False)
    for group in found.groups:
        table.add_row(group.name, f"{group.scales:+.2f} times the normal spread")
    if found.level_db is not None:
        table.add_row("level", f"{found.level_db:+.1f} dB")
    for band in found.bands:
        days = f", growing for {band.days} days" if band.days else ""
        span = f"{band.low_hz:.0f} to {band.high_hz:.0f} Hz"
        table.add_row(span, f"{band.change_db:+.1f} dB{days}")
    stdout_console().print(fold_columns(table))
    typer.echo(f"{found.hours} h of sound were compared.")
