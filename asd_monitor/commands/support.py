"""``asd-monitor support``: what support needs to know, in one file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import Device, StateDir
from asd_monitor.commands.state_options import ConfigFile, find_state
from asd_monitor.terminal.wrapping import wrap

if TYPE_CHECKING:
    from asd_monitor.doctor.finding import Finding

DEFAULT_UNIT = "asd-monitor@*"


def support(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write: .tar.gz, .tgz or .zip.")
    ],
    config: ConfigFile = None,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            metavar="FILE",
            help="File with log lines, of which the last 2000 are taken. By default the journal.",
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            "--unit",
            metavar="NAME",
            help="Unit whose journal is taken. By default that of the configuration file's name.",
        ),
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Collect findings, versions, settings and the end of the log in one file for support.

    Passwords, tokens, and addresses that contain them are removed, and no sound is included. Look
    at the text files in it before you pass it on.

    Example: `asd-monitor support support.tar.gz --config /etc/asd-monitor/pump.yaml`
    """
    from asd_monitor.commands.doctor import make_context
    from asd_monitor.doctor.finding import failed
    from asd_monitor.doctor.runner import list_checks, run_checks
    from asd_monitor.doctor.support import check_name, write_support_file
    from asd_monitor.errors import AsdMonitorError

    check_name(file)
    try:
        options = {"state_dir": state_dir, "mqtt": None, "metrics": None, "device": Device.AUTO,
                   "model": None}  # fmt: skip
        findings: list[Finding] = []
        for check in list_checks(make_context(config, None, options)):
            typer.echo(f"checking {check.name} ...", err=True)
            findings += run_checks([check])
    except AsdMonitorError as error:  # such as a configuration with mistakes: reported as well
        findings = [failed("configuration", str(error), "correct the file", type(error))]
        root = _find_state(state_dir, config)
    else:
        root = find_state(state_dir, config).root
    if unit is None:
        unit = DEFAULT_UNIT if config is None else f"asd-monitor@{config.stem}"
    names = write_support_file(file, findings, root, config=config, log=log, unit=unit)
    typer.echo(wrap(f"wrote {file}: {', '.join(names)}", sys.stderr), err=True)


def _find_state(state_dir: Path | None, config: Path | None) -> Path:
    """Return the state folder, also that of a configuration with mistakes."""
    from asd_monitor.errors import ConfigError
    from asd_monitor.settings_file import read

    if state_dir is None and config is not None:
        try:
            named = read(config).values.get("state_dir")
        except ConfigError:
            named = None
        state_dir = Path(named) if isinstance(named, str) and named else None
    return find_state(state_dir, None).root
