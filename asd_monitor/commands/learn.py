"""``asd-monitor learn``: commissioning alone."""

from typing import Annotated

import typer

from asd_monitor.commands.options import (
    AsJson,
    Channel,
    Machines,
    Mics,
    StateDir,
    Wavs,
    machine_sections,
)
from asd_monitor.runtime.signals import stop_signals


def learn(
    mic: Mics = None,
    machine: Machines = None,
    wav: Wavs = None,
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes",
            help="How much normal sound to collect; a machine that has a model hears so much more.",
        ),
    ] = 5.0,
    window_s: Annotated[
        float | None,
        typer.Option("--window", help="Window in seconds; chosen from the machine's cycle."),
    ] = None,
    hop_s: Annotated[
        float | None, typer.Option("--hop", help="Hop in seconds; 1 s where not given.")
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Set recordings from before aside; else they count too."),
    ] = False,
    channel: Channel = 0,
    state_dir: StateDir = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines in place of a progress bar.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Record a machine's normal sound and fit a model to it, without monitoring.

    An existing model of the machine is replaced; its recordings are kept and learned from
    too, unless --fresh sets them aside. The same recordings are not learned twice.

    Example: `asd-monitor learn --mic 0 --machine pump --minutes 5`
    """
    sections = machine_sections(mic, wav, machine, channel=channel, fast=True)
    rules = {"minutes": minutes, "window_s": window_s, "hop_s": hop_s}
    options = {"machines": sections, "learn": rules, "mqtt": None, "prometheus": None}
    if state_dir is not None:
        options["state_dir"] = str(state_dir)
    with stop_signals() as stop:
        from asd_monitor.config import from_options
        from asd_monitor.runtime.runs import learn_only

        settings = from_options(options)
        learn_only(settings, stop, fresh=fresh, live_view=not plain, as_json=as_json)
