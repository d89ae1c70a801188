"""``asd-monitor learn``: learn machines without monitoring them."""

import sys
from typing import Annotated

import typer

from asd_monitor.commands.interrupt import INTERRUPTED
from asd_monitor.commands.options import (
    AcceptMicrophone,
    AsJson,
    Channel,
    Machines,
    Mics,
    SampleRate,
    StateDir,
    Wavs,
    make_machine_sections,
)
from asd_monitor.runtime.signals import stop_signals
from asd_monitor.storage.private import keep_private

WITHOUT_TORCH = (
    "let a computer that has it fit the model: --remote USER@HOST (docs/operations.md, Without "
    "torch)"
)


def learn(
    mic: Mics = None,
    machine: Machines = None,
    wav: Wavs = None,
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes",
            metavar="MINUTES",
            help="Minutes of normal sound to record, in addition to any earlier recordings.",
        ),
    ] = 5.0,
    window_s: Annotated[
        float | None,
        typer.Option(
            "--window",
            metavar="SECONDS",
            help="Length of a window in seconds. By default chosen to fit the machine's cycle.",
        ),
    ] = None,
    hop_s: Annotated[
        float | None,
        typer.Option(
            "--hop",
            metavar="SECONDS",
            help="Time between the starts of two windows in seconds. By default 1.",
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Learn from new recordings only; earlier ones are moved to `archived-recordings`.",
        ),
    ] = False,
    remote: Annotated[
        str | None,
        typer.Option(
            "--remote",
            metavar="[USER@]HOST[:PROGRAM]",
            help="Let another computer fit the model, for one that has no torch: the recordings "
            "are sent there over ssh, and the model file comes back. PROGRAM is the path of its "
            "asd-monitor, unless it is on the search path there.",
        ),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Learn from a stream of recordings on stdin, and write the model file to stdout. "
            "`--remote` runs this on the other computer.",
        ),
    ] = False,
    sample_rate_hz: SampleRate = None,
    channel: Channel = 0,
    accept_microphone: AcceptMicrophone = None,
    state_dir: StateDir = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines instead of a progress bar.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Record the normal sound of a machine and fit a model to it, without monitoring it.

    An existing model of the machine is replaced. Earlier recordings of the machine are used too,
    unless `--fresh` archives them. Duplicate recordings are skipped. The exit code is 130
    if it is stopped before there is a model; the recorded sound is kept.

    A computer without torch records, and lets another one fit: `--remote USER@HOST`.

    Example: `asd-monitor learn --mic 0 --machine pump --minutes 5`
    """
    from asd_monitor.model_file.runtimes import require_torch

    if remote is None:
        require_torch("learn", WITHOUT_TORCH)
    if stream:
        _serve_stream()
        return
    sections = make_machine_sections(mic, wav, machine, channel=channel, fast=True)
    rules: dict[str, object] = {"minutes": minutes, "window_s": window_s, "hop_s": hop_s}
    if remote is not None:
        rules["remote"] = remote
    if sample_rate_hz is not None:
        rules["sample_rate_hz"] = sample_rate_hz
    options = {"machines": sections, "learn": rules, "mqtt": None, "prometheus": None, "web": None}
    if state_dir is not None:
        options["state_dir"] = str(state_dir)
    keep_private()
    with stop_signals() as stop:
        from asd_monitor.config import from_options
        from asd_monitor.runtime.microphones import accept_microphones
        from asd_monitor.runtime.runs import learn_only

        settings = accept_microphones(from_options(options), accept_microphone or ())
        if remote is not None:
            from asd_monitor.runtime.remote_learning import check_remote

            check_remote(remote)  # before anything is recorded
        done = learn_only(settings, stop, fresh=fresh, live_view=not plain, as_json=as_json)
    if not done:
        raise typer.Exit(INTERRUPTED)


def _serve_stream() -> None:
    from asd_monitor.runtime.learning_stream import serve_stream

    keep_private()
    with open(0, "rb", closefd=False) as stdin:
        serve_stream(stdin, sys.stdout.buffer, sys.stderr)
