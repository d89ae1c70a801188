"""Receive commands of people, check them, and pass them on."""

import logging
from collections.abc import Callable, Collection

from asd_monitor.errors import ConfigError
from asd_monitor.judging.commands import Command, Refusal, parse_command
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.topics import Topics

logger = logging.getLogger(__name__)

MAX_BYTES = 1024
RATE_PER_S = 1.0
BURST = 5
"""Commands that may come at once, after a pause; then one a second."""

Submit = Callable[[Command | Refusal], bool]


class CommandReceiver:
    """Check the messages to the command topics of a node.

    Retained messages are ignored: the broker would deliver them again at each login.

    Parameters
    ----------
    topics
        The node's topics.
    machines
        Returns the ids of the machines.
    submit
        Does what a command asks for, or records why it was refused, in another thread.
    """

    def __init__(
        self, topics: Topics, machines: Callable[[], Collection[str]], submit: Submit
    ) -> None:
        self._topics = topics
        self._machines = machines
        self._submit = submit
        self._allowance = float(BURST)
        self._received_s = float("-inf")
        self._refused_rate = False

    @property
    def filters(self) -> list[str]:
        """Topics to receive while connected."""
        return [self._topics.command("+")]

    def receive(self, message: Incoming, now_s: float) -> bool:
        """Process a message; return False if it is no command."""
        machine = self._topics.commanded_machine(message.topic)
        if machine is None:
            return False
        if message.retained or not message.payload:  # empty: a retained command is cleared
            return True
        problem = self._find_problem(machine, message, now_s)
        if problem is None:
            return True
        if problem:
            self._pass_on(Refusal(machine, problem))
            return True
        try:
            self._pass_on(parse_command(machine, message.payload))
        except ConfigError as error:
            self._pass_on(Refusal(machine, f"expected a command: {error}"))
        return True

    def _find_problem(self, machine: str, message: Incoming, now_s: float) -> str | None:
        """Return why a message is refused, empty if it is not, None if that was said before."""
        elapsed_s = now_s - self._received_s
        self._received_s = now_s
        self._allowance = min(BURST, self._allowance + RATE_PER_S * elapsed_s)
        if self._allowance < 1:
            was_refused, self._refused_rate = self._refused_rate, True
            return None if was_refused else f"more than {RATE_PER_S:g} command a second"
        self._allowance -= 1
        self._refused_rate = False
        if machine not in self._machines():
            return "the monitor has no such machine"
        if len(message.payload) > MAX_BYTES:
            return f"expected at most {MAX_BYTES} bytes, found {len(message.payload)}"
        return ""

    def _pass_on(self, command: Command | Refusal) -> None:
        if not self._submit(command):
            logger.warning("MQTT: a command for %s is lost: too many wait", command.machine)
