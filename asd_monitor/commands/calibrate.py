"""``asd-monitor calibrate``: compute the limits of a model again from recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.judging_options import VIA, Who, make_author
from asd_monitor.commands.options import AsJson, StateDir, Target, TrustedKeys
from asd_monitor.commands.state_options import ConfigFile, find_state, load_config
from asd_monitor.storage.private import keep_private

if TYPE_CHECKING:
    from asd_monitor.model_file import LoadPolicy
    from asd_monitor.runtime.calibrate import Recalibration


def calibrate(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Recordings of normal sound, or folders of them, that the model was not learned "
            "from.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="FILE", help="The model file.")
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option("--machine", metavar="NAME", help="A machine that was learned here."),
    ] = None,
    target: Target = None,
    reset: Annotated[
        bool,
        typer.Option(
            "--reset",
            help="Go back to the limits of the machine's model file, and collect normal sound of "
            "monitoring again.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare only; write nothing.")
    ] = False,
    trusted_key: TrustedKeys = None,
    who: Who = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Compute threshold, normal range and alarm limits of a model again from recordings.

    More normal sound makes the limits more exact, and supports fewer false alarms. The model itself
    stays the same, and so does what it has learned. A new version of the model file is written, and
    the previous one is kept. It is signed with the key of this state folder. A running monitor
    changes to it within two seconds.

    The monitor does the same by itself with normal sound of monitoring, within bounds (setting
    `learn.while_monitoring`); `--reset` takes that back.

    Example: `asd-monitor calibrate --machine pump monday.wav tuesday.flac`
    """
    from asd_monitor.errors import ConfigError

    if (model is None) == (machine is None):
        raise ConfigError("expected either --model FILE or --machine NAME")
    keep_private()
    if reset:
        if machine is None or recordings:
            raise ConfigError("--reset needs --machine NAME, and no recordings")
        _reset(machine, who, config, state_dir)
        return
    if not recordings:
        raise ConfigError("expected recordings of normal sound, or --reset")
    from asd_monitor.detection.support import describe_next_hour
    from asd_monitor.model_file import LoadPolicy

    asked = _false_alarms_per_month(config, machine)
    path = model or find_state(state_dir, config).model_path(machine or "")
    keys = trusted_key or (load_config(config).models.trusted_keys if config else ())
    policy = LoadPolicy.of_state(find_state(state_dir, config).root, keys)
    found = _recalibrate(path, target, recordings, asked, policy)
    if not dry_run:
        _write(found, machine, who, config, state_dir)
    support = found.rule.describe_support(asked)
    _print(found, [support, describe_next_hour(found.rule, asked)], as_json=as_json)


def _false_alarms_per_month(config: Path | None, machine: str | None) -> float:
    from asd_monitor.detection.alarm_settings import AlarmSettings

    settings = AlarmSettings()
    if config is not None:
        loaded = load_config(config)
        settings = loaded.alarm_of(machine) if machine in loaded.machines else loaded.alarm
    return settings.false_alarms_per_month


def _recalibrate(
    path: Path, target: str | None, recordings: list[Path], asked: float, policy: "LoadPolicy"
) -> "Recalibration":
    import time

    from asd_monitor.errors import SourceError
    from asd_monitor.runtime.calibrate import recalibrate
    from asd_monitor.sources.playlist import find_recordings
    from asd_monitor.terminal.durations import format_duration

    paths = [file for _, file in find_recordings(recordings)]
    if not paths:
        raise SourceError("no recordings were found")

    def report(recording: Path, used_s: float) -> None:
        typer.echo(f"{recording}: {format_duration(used_s)} in all", err=True)

    return recalibrate(path, target, paths, asked, time.time(), policy, report)


def _write(
    found: "Recalibration",
    machine: str | None,
    who: str | None,
    config: Path | None,
    state_dir: Path | None,
) -> None:
    """Write the new version; of a machine, record it, so that a running monitor uses it."""
    from asd_monitor.judging.proposal import lock_models, previous_model
    from asd_monitor.recalibration.extension import describe_change
    from asd_monitor.recalibration.files import CalibrationFiles
    from asd_monitor.runtime.calibrate import previous_version, write_version

    state = find_state(state_dir, config)
    root = state.root
    if machine is None:
        write_version(found, previous_version(found.path), state)
        return
    with lock_models(root, machine):
        write_version(found, previous_model(root, machine), state)
        CalibrationFiles(root, machine).reset()
        _record(root, machine, who, "calibrate", describe_change(found.before, found.after))


def _reset(machine: str, who: str | None, config: Path | None, state_dir: Path | None) -> None:
    from asd_monitor.judging.calibration_reset import reset_calibration
    from asd_monitor.judging.store import JudgingStore

    store = JudgingStore(find_state(state_dir, config).root)
    typer.echo(reset_calibration(store, make_author(who), machine).message)


def _record(root: Path, machine: str, who: str | None, action: str, text: str) -> None:
    """Record an action, which a running monitor follows; without a history it is not recorded."""
    from asd_monitor.history.records import AuditEntry
    from asd_monitor.judging.store import JudgingStore

    store = JudgingStore(root)
    if store.path.exists():
        author = make_author(who)
        store.add_audit(AuditEntry(store.clock(), author.who, VIA, action, machine, text=text))


def _print(found: "Recalibration", notes: list[str], *, as_json: bool) -> None:
    import json

    notes = [note for note in notes if note]
    if as_json:
        document = {
            "model": str(found.path),
            "target": found.target,
            "before": found.before.to_dict(),
            "after": found.after.to_dict(),
            "notes": notes,
        }
        typer.echo(json.dumps(document, allow_nan=False))
        return
    from rich.table import Table

    from asd_monitor.recalibration.extension import compare_rules
    from asd_monitor.terminal.tables import fold_columns, stdout_console

    table = Table("", "before", "after", box=None, pad_edge=False)
    for row in compare_rules(found.before, found.after):
        table.add_row(*row)
    stdout_console().print(fold_columns(table))
    for note in notes:
        typer.echo(note)
