"""``asd-monitor detectability``: measure which faults a model can and cannot detect."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import AsJson, Channel, StateDir, Target
from asd_monitor.commands.state_options import ConfigFile, find_state, load_config
from asd_monitor.storage.private import keep_private
from asd_monitor.terminal.escape import on_one_line

if TYPE_CHECKING:
    from rich.table import Table

    from asd_monitor.detectability.result import Detectability
    from asd_monitor.detection.alarm_settings import AlarmSettings
    from asd_monitor.progress import Progress


def detectability(
    machine: Annotated[
        str | None,
        typer.Argument(metavar="[MACHINE]", help="A machine that was learned here."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FILE", help="A model file, instead of a machine."),
    ] = None,
    wav: Annotated[
        list[Path] | None,
        typer.Option(
            "--wav",
            metavar="PATH",
            help="The normal recordings that the model file was learned from: a file or a folder. "
            "Repeatable.",
        ),
    ] = None,
    target: Target = None,
    channel: Channel = 0,
    false_alarms_per_month: Annotated[
        float | None,
        typer.Option(
            "--false-alarms-per-month",
            metavar="N",
            help="Acceptable false alarms. By default those of the configuration file, or 1.",
        ),
    ] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Measure which faults a learned model can and cannot detect, and how quiet they may be.

    Synthetic faults of every kind are injected at falling levels into normal sound of the machine
    that is held out, and played through the detector and the rules of the alarm. The result is
    written next to the model file, where `inspect` and the web page find it. Three minutes of
    normal sound are needed, five or more are better. It takes about half a minute of processor
    time, at the lowest priority.

    Example: `asd-monitor detectability pump`
    """
    from asd_monitor.model_file.runtimes import require_torch

    require_torch("detectability")
    import json

    from asd_monitor.errors import ConfigError
    from asd_monitor.runtime.detectability import use_few_resources
    from asd_monitor.terminal.progress import console_progress

    if (machine is None) == (model is None):
        raise ConfigError("expected either a machine or --model FILE with --wav RECORDINGS")
    if (model is None) != (not wav):
        raise ConfigError("--model and --wav: expected both, or a machine instead")
    keep_private()
    alarm = _make_alarm(machine, config, false_alarms_per_month)
    use_few_resources()
    with console_progress(quiet=as_json) as progress:
        if machine is not None:
            from asd_monitor.runtime.detectability import measure_machine

            state = find_state(state_dir, config)
            result = measure_machine(state, machine, alarm, progress)
        else:
            assert model is not None  # noqa: S101 - checked above
            result = _measure_file(model, wav or [], target, channel, alarm, progress)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), allow_nan=False))
    else:
        print_result(result)


def _make_alarm(machine: str | None, config: Path | None, asked: float | None) -> "AlarmSettings":
    from pydantic import ValidationError

    from asd_monitor.detection.alarm_settings import AlarmSettings
    from asd_monitor.errors import ConfigError

    alarm = AlarmSettings()
    if config is not None and machine is not None:
        alarm = load_config(config).alarm_of(machine)
    if asked is None:
        return alarm
    try:
        return AlarmSettings.model_validate(alarm.model_dump() | {"false_alarms_per_month": asked})
    except ValidationError as error:
        msg = f"--false-alarms-per-month: expected a number in (0, 1000], got {asked:g}"
        raise ConfigError(msg) from error


def _measure_file(
    model: Path,
    wav: list[Path],
    target: str | None,
    channel: int,
    alarm: "AlarmSettings",
    progress: "Progress",
) -> "Detectability":
    """Measure a model file with its recordings, and write the result next to it."""
    from asd_monitor.audio.files import read_recording
    from asd_monitor.commands.score import get_only_target
    from asd_monitor.detectability.measure import measure
    from asd_monitor.detectability.store import write_result
    from asd_monitor.model_file import read_manifest
    from asd_monitor.quickstart import Recording
    from asd_monitor.sources.playlist import find_recordings

    manifest, sha256 = read_manifest(model)
    target = target or get_only_target(manifest.targets, model)
    recordings = [
        Recording(name, read_recording(path, manifest.sample_rate_hz, channel))
        for name, path in find_recordings(wav)
    ]
    result = measure(recordings, manifest, sha256, target=target, alarm=alarm, progress=progress)
    write_result(model, result)
    return result


def print_result(result: "Detectability") -> None:
    """Print what can and cannot be detected: a sentence, a table, and how it was measured."""
    from asd_monitor.detectability.sentences import TITLE, describe, describe_method
    from asd_monitor.terminal.tables import fold_columns, stdout_console

    typer.echo(f"\n{TITLE}")
    typer.echo(f"  {on_one_line(_sentence(describe(result)))}")
    if not result.faults:
        return
    typer.echo("")
    stdout_console().print(fold_columns(_make_table(result)))
    typer.echo(f"  {_sentence(describe_method(result))}")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _make_table(result: "Detectability") -> "Table":
    from rich.table import Table

    from asd_monitor.detectability.result import LIMITS_S
    from asd_monitor.detectability.sentences import TIME_WORDS, describe_kind, format_level

    table = Table(
        "sound of the fault", "such as", *(f"within {TIME_WORDS[s]}, down to" for s in LIMITS_S)
    )
    for fault in result.faults:
        table.add_row(*describe_kind(fault.kind), *(format_level(fault, s) for s in LIMITS_S))
    return table
