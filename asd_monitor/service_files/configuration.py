"""A commented configuration for given machines, made from the documented example."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asd_monitor.service_files.packaged import EXAMPLE, read_packaged
from asd_monitor.settings_file import format_yaml

HEADER = """\
# Settings of this monitor, written by `asd-monitor init`. A key without a # in front has its
# default, except those of machines. Check this file with `asd-monitor check FILE`. Relative paths
# start at the working directory of the program (`/` for a service), not at the folder of this file:
# write absolute paths."""
COLUMN = 28
"""Where comments begin in the example."""


@dataclass(frozen=True)
class MachineEntry:
    """A machine of the configuration."""

    id: str
    section: Mapping[str, Any]
    """Its keys and values."""
    comment: str = ""
    """A note on its source, of one line."""


def write_configuration(
    machines: Sequence[MachineEntry],
    node: str | None = None,
    broker: tuple[str, int] | None = None,
) -> str:
    """Return a configuration with every key and its explanation.

    Parameters
    ----------
    machines
        The machines to monitor.
    node
        Name of the monitor in MQTT topics; None: the key is a comment.
    broker
        Host and port of the MQTT broker; None: the section is a comment.
    """
    paragraphs = read_packaged(EXAMPLE).rstrip("\n").split("\n\n")
    written = [HEADER]
    for paragraph in paragraphs[1:]:
        if paragraph.startswith("machines:"):
            paragraph = _write_machines(paragraph, machines)
        elif paragraph.startswith("mqtt:"):
            paragraph = _write_mqtt(paragraph, broker)
        elif "\nnode:" in paragraph:
            paragraph = _write_node(paragraph, node)
        written.append(paragraph)
    return "\n\n".join(written) + "\n"


def _write_machines(paragraph: str, machines: Sequence[MachineEntry]) -> str:
    heading, *examples = paragraph.split("\n")
    lines = [heading]
    for machine in machines:
        lines.append(f"  {_scalar(machine.id)}:")
        for key, value in machine.section.items():
            text = f"    {key}: {_scalar(value)}"
            if key in ("mic", "wav") and machine.comment:
                text = f"{text:<{COLUMN - 1}} # {machine.comment}"
            lines.append(text)
    lines += ["", "# All keys of a machine, in examples:"]
    return "\n".join(lines + _comment_out(examples))


def _write_mqtt(paragraph: str, broker: tuple[str, int] | None) -> str:
    if broker is None:
        return "\n".join(_comment_out(paragraph.split("\n")))
    paragraph = _set_value(paragraph, "  host", broker[0])
    return _set_value(paragraph, "  port", broker[1])


def _write_node(paragraph: str, node: str | None) -> str:
    if node is None:
        return paragraph.replace("\nnode:", "\n# node:")
    return _set_value(paragraph, "node", node)


def _set_value(paragraph: str, key: str, value: str | int) -> str:
    """Replace the value of a key that is followed by a comment."""
    line = f"{key}: {_scalar(value)}".ljust(COLUMN - 1)
    pattern = re.compile(rf"^{key}: \S+ *(?=#)", re.MULTILINE)
    return pattern.sub(lambda _: f"{line} ", paragraph, count=1)


def _comment_out(lines: Sequence[str]) -> list[str]:
    return [f"# {line}" for line in lines]


def _scalar(value: Any) -> str:  # noqa: ANN401 - any value of YAML
    """Return a value as YAML on one line."""
    text = format_yaml(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("...\n").rstrip("\n")
