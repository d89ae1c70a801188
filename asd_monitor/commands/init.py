"""``asd-monitor init``: write the files of an installation."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import Machines, Mics, Wavs, parse_host_and_port
from asd_monitor.errors import ConfigError, SourceError
from asd_monitor.terminal.escape import on_one_line

if TYPE_CHECKING:
    from asd_monitor.service_files.configuration import MachineEntry
    from asd_monitor.sources.microphone.devices import Microphone

ETC = Path("/etc/asd-monitor")
UNITS_OF_PACKAGES = (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to write to; it is made if missing.")
    ] = Path("asd-monitor"),
    machine: Machines = None,
    mic: Mics = None,
    wav: Wavs = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            "--mqtt",
            metavar="BROKER",
            help="MQTT broker as HOST or HOST:PORT. By default its section is a comment.",
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            "--node",
            metavar="NAME",
            help="Name of this monitor in MQTT topics. By default the host's name.",
        ),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name of the configuration file and of the service: `plant` is plant.yaml and "
            "asd-monitor@plant.",
        ),
    ] = "plant",
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace files; the old ones get the suffix `.old`."),
    ] = False,
) -> None:
    """Write the configuration, the systemd unit, and files for Prometheus, Grafana and mosquitto.

    The configuration has the machines that you name and an explanation of every key. Machines
    without a microphone get the ones that are connected, in their order. Without `--machine` there
    is one machine, `machine-1`. Files that exist are not replaced. What to do next is printed.

    Example: `asd-monitor init plant --machine pump --mic "USB Audio"`
    """
    from asd_monitor.service_files.configuration import write_configuration
    from asd_monitor.service_files.packaged import UNIT, list_packaged, read_packaged
    from asd_monitor.service_files.unit import program_path, write_unit
    from asd_monitor.service_files.writing import write_files
    from asd_monitor.unicode_names import is_id

    if not is_id(name):
        msg = f"--name: expected letters from a to z, digits, `_`, `-` and `.`, found {name!r}"
        raise ConfigError(msg)
    broker = None if mqtt is None else parse_host_and_port(mqtt)
    entries = _make_entries(machine, mic, wav)
    texts = {
        f"{name}.yaml": write_configuration(entries, node, broker),
        UNIT: write_unit(program_path().parents[1]),
        **{packaged: read_packaged(packaged) for packaged in list_packaged()},
    }
    _check_configuration(texts[f"{name}.yaml"], folder / f"{name}.yaml")
    replaced = write_files(folder, texts, replace=force)
    for old in replaced:
        typer.echo(f"replaced {folder / old}; the old one is {folder / old}.old", err=True)
    typer.echo(on_one_line(f"wrote {len(texts)} files to {folder}"))
    typer.echo(_describe_next_steps(folder, name))


def _make_entries(
    names: Sequence[str] | None, mics: Sequence[str] | None, wavs: Sequence[str] | None
) -> "list[MachineEntry]":
    """Return the machines that were asked for, each with its source."""
    from asd_monitor.commands.options import make_machine_sections
    from asd_monitor.service_files.configuration import MachineEntry

    present = [] if wavs else _find_microphones()
    names = names or ["machine-1"] * (len(mics or wavs or ()) in (0, 1))
    if not (mics or wavs):
        found = [each.stable_id for each in present if not each.unavailable]
        mics = [*found, *["default"] * len(names)][: len(names)]
    sections = make_machine_sections(mics, wavs, names, channel=0, fast=False)
    entries = []
    for id_, section in sections.items():
        keys: dict[str, Any] = {"name": section["name"]} if "name" in section else {}
        if wavs:
            paths = [str(Path(path).absolute()) for path in section["wav"]["paths"]]
            entries.append(MachineEntry(id_, {**keys, "wav": {"paths": paths}}))
            continue
        device, comment = _identify(section["mic"]["device"], present)
        entries.append(MachineEntry(id_, {**keys, "mic": device}, comment))
    return entries


def _find_microphones() -> "list[Microphone]":
    from asd_monitor.sources.microphone.devices import list_microphones

    try:
        return list_microphones()
    except SourceError as error:
        typer.echo(f"warning: {on_one_line(str(error))}", err=True)
        return []


def _identify(device: int | str, present: "Sequence[Microphone]") -> tuple[int | str, str]:
    """Return the stable id of a microphone and a comment on it."""
    from asd_monitor.sources.microphone.selection import find_device

    try:
        found = find_device(device, present)
    except SourceError:
        return device, "not connected now; `asd-monitor devices` lists the ids"
    return found.stable_id, on_one_line(found.name)


def _check_configuration(text: str, path: Path) -> None:
    """Raise ConfigError if the options give no valid configuration."""
    from asd_monitor.config import from_document
    from asd_monitor.settings_file import parse

    from_document(parse(text, str(path)))


def _find_program() -> str:
    """Return how this program is called: by its name where a shell finds it, else by its path."""
    from asd_monitor.service_files.unit import program_path

    found, program = shutil.which("asd-monitor"), program_path()
    if found is not None and Path(found).resolve() == program.resolve():
        return "asd-monitor"
    return shlex.quote(str(program))


def _describe_next_steps(folder: Path, name: str) -> str:
    """Return the commands that follow, as they are typed in the present folder."""
    from asd_monitor.service_files.packaged import UNIT
    from asd_monitor.service_files.unit import (
        manual_path,
        unreadable_by_service,
    )

    config, program = shlex.quote(str(folder / f"{name}.yaml")), _find_program()
    installed = ETC / f"{name}.yaml"
    steps = [
        "Next:",
        f"  1. Edit {config}; `{program} devices` lists the microphones.",
        f"  2. {program} check {config}",
        f"  3. {program} run --config {config}      # try it here; Ctrl-C ends it",
        "  4. Run it as a service:",
    ]
    hidden = unreadable_by_service(Path(sys.prefix), Path(sys.base_prefix))
    if hidden is not None:
        steps.append(
            f"     A service cannot read {hidden}: install asd-monitor outside of home folders "
            "first."
        )
    steps.append(f"     sudo install -D -m 644 {config} {installed}")
    unit = Path(UNIT).name
    if not any((each / unit).exists() for each in UNITS_OF_PACKAGES):
        source = shlex.quote(str(folder / UNIT))
        steps.append(f"     sudo install -m 644 {source} /etc/systemd/system/")
        steps.append("     sudo systemctl daemon-reload")
    steps += [
        f"     sudo systemctl enable --now asd-monitor@{name}",
        f"     systemctl status asd-monitor@{name}",
        "  5. Prometheus, Grafana and mosquitto: the first lines of their files say where they "
        "belong.",
        f"More: {manual_path()}",
    ]
    return "\n".join(steps)
