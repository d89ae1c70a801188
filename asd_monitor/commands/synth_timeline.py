"""``asd-monitor synth --timeline``: make hours of sound with labelled faults."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from asd_monitor.commands.options import split_names
from asd_monitor.terminal.escape import on_one_line
from asd_monitor.terminal.progress import console_progress

if TYPE_CHECKING:
    from asd_offline.synth.timeline import TimelineResult


def synth_timeline(
    out: Path,
    *,
    inject: Path | None,
    machines: tuple[str, ...],
    kinds: str,
    levels_db: tuple[float, ...],
    onsets: str,
    hours: float,
    fault_s: float,
    train_minutes: float,
    snr_db: float,
    train_clips: int | None,
    splits: int,
    shaft_hz: float | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write timelines and print what was written."""
    from asd_offline.synth.timeline import (
        InjectedTimelines,
        SimulatedTimelines,
        TimelineSettings,
        make_timelines,
    )

    settings = TimelineSettings(
        hours, fault_s, split_names([kinds]), levels_db, split_names([onsets]), seed
    )
    origin: SimulatedTimelines | InjectedTimelines
    if inject is None:
        origin = SimulatedTimelines(machines or ("pump",), train_minutes, snr_db)
    else:
        name = machines[0] if machines else ""
        origin = InjectedTimelines(inject, name, train_clips, splits, shaft_hz)
    with console_progress() as progress:
        made = make_timelines(out, settings, origin, progress, force=force)
    for path, reason in made.rejected:
        typer.echo(on_one_line(f"not used: {path}: {reason}"), err=True)
    typer.echo(json.dumps({"out": str(out)} | asdict(made)) if as_json else _format(out, made))


def _format(out: Path, made: "TimelineResult") -> str:
    streams = "1 stream" if made.streams == 1 else f"{made.streams} streams"
    faults = f"{made.faults} faults"
    if made.faults < made.cases:
        faults += f" of {made.cases} combinations of kind, level and onset (more need --hours)"
    return (
        f"{out}: {', '.join(made.machines)}: {streams}, {made.normal_h:.3g} h of normal sound, "
        f"{faults}; next: asd-monitor replay {out} --timeline"
    )
