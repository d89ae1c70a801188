"""Watch the topics of this node: clear what it no longer has, and notice another monitor in it.

Retained messages outlive the monitor that published them. A machine that was renamed or removed
would stay `online` and NORMAL forever, so at each login the topics of unknown machines are
cleared. Two monitors with the same node name overwrite each other's messages. Each publishes its
instance under ``info`` and answers that of the other, so both notice.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable

from asd_monitor.errors import ConfigError
from asd_monitor.sinks.mqtt.commands import CommandReceiver
from asd_monitor.sinks.mqtt.home_assistant import Discovery
from asd_monitor.sinks.mqtt.incoming import Incoming
from asd_monitor.sinks.mqtt.messages import OFFLINE, ONLINE, Message
from asd_monitor.sinks.mqtt.node_info import NodeInfo, parse_info
from asd_monitor.sinks.mqtt.topics import RETAINED_KINDS, Topics, check_name

logger = logging.getLogger(__name__)

GRACE_S = 2.0
"""Topics of unknown machines are cleared this long after the login, unless another monitor
answers."""
REPEAT_S = 60.0
"""``info`` is published at most this often in answer to another monitor, or to look for it."""
FORGET_S = 200.0
"""Another monitor that has not answered for this long is considered ended."""
MIN_REASSERT_S = 1.0


class NodeWatch:
    """Decide what to publish in answer to the messages below the own node.

    All methods are called by the thread that owns the connections.

    Parameters
    ----------
    topics
        The node's topics.
    info
        Returns the present info of this monitor.
    known_machines
        Returns the machines of this monitor.
    republish
        Publishes the retained messages of a machine again.
    set_conflict
        Receives whether another monitor uses the node name.
    discovery
        Describes the machines to Home Assistant; None: they are not.
    commands
        Receives the commands of people; None: there are none.
    """

    def __init__(
        self,
        topics: Topics,
        info: Callable[[], NodeInfo],
        known_machines: Callable[[], Iterable[str]],
        republish: Callable[[str], None],
        set_conflict: Callable[[bool], None],
        discovery: Discovery | None = None,
        commands: CommandReceiver | None = None,
    ) -> None:
        self._topics = topics
        self._info = info
        self._known_machines = known_machines
        self._republish = republish
        self._set_conflict = set_conflict
        self._discovery = discovery
        self._commands = commands
        self._pending: deque[Message] = deque()
        self._unknown_machines: dict[str, None] = {}
        self._clear_at_s = float("inf")
        self._other: NodeInfo | None = None
        self._other_seen_s = 0.0
        self._info_sent_s = float("-inf")
        self._reasserted_s = float("-inf")
        self._reported: set[str] = set()
        self._logins = 0
        self._settled = self._is_read = False
        self._is_outdated = False
        self._removed: deque[str] = deque()

    def announce_again(self) -> None:
        """Describe the monitor again soon, with a machine that was added; from any thread."""
        self._is_outdated = True

    def remove(self, machine: str) -> None:
        """Clear the retained messages of a machine that was removed; from any thread."""
        self._removed.append(machine)
        self._is_outdated = True

    @property
    def conflict(self) -> NodeInfo | None:
        """The other monitor that uses the node name; None if there is none."""
        return self._other

    @property
    def filters(self) -> list[str]:
        """Topics to receive while connected."""
        topics = self._topics
        own = [topics.status, topics.info, topics.of_machine("+", "availability")]
        own += self._commands.filters if self._commands is not None else []
        return own + (self._discovery.filters if self._discovery is not None else [])

    @property
    def login_filters(self) -> list[str]:
        """Topics to receive until :meth:`is_settled`: what an earlier run left there."""
        kinds = (kind for kind in RETAINED_KINDS if kind != "availability")
        return [self._topics.of_machine("+", kind) for kind in kinds]

    def is_settled(self, now_s: float) -> bool:
        """Return True once, when ``login_filters`` are no longer needed."""
        if self._settled or not (self._is_read or now_s >= self._clear_at_s):
            return False
        self._settled = True
        return True

    def due_in_s(self, now_s: float) -> float:
        """Return the time until :meth:`next` may return something without a new message."""
        if self._is_outdated:
            return 0.0
        due_s = [] if self._settled and not self._unknown_machines else [self._clear_at_s]
        if self._other is not None:
            due_s.append(min(self._info_sent_s + REPEAT_S, self._other_seen_s + FORGET_S))
        if self._discovery is not None:
            due_s.append(now_s + self._discovery.due_in_s(now_s))
        return max(min(due_s, default=float("inf")) - now_s, 0.0)

    def login(self, now_s: float) -> None:
        """Begin a connection: announce this monitor, and look for unknown machines."""
        self._pending.clear()
        self._unknown_machines.clear()
        self._clear_at_s = now_s + GRACE_S
        self._settled = self._is_read = False
        self._logins += 1
        self._announce(now_s)
        if self._discovery is not None:
            self._discovery.login(now_s)

    def receive(self, message: Incoming, now_s: float) -> None:
        """Process a message; anything unexpected is ignored."""
        if self._discovery is not None:
            self._discovery.receive(message, now_s)
        if self._commands is not None and self._commands.receive(message, now_s):
            return
        if message.topic == self._topics.info:
            self._receive_info(message, now_s)
        elif message.topic == self._topics.status:
            if not message.retained:  # from before the login
                self._receive_status(message.payload, now_s)
        else:
            self._receive_retained(message)

    def next(self, now_s: float) -> Message | None:
        """Remove and return what is to be published next; None if nothing is due."""
        if self._is_outdated:
            self._is_outdated = False
            self._clear_at_s = now_s if self._removed else self._clear_at_s
            while self._removed:
                self._suspect([self._removed.popleft()])
            self._announce(now_s)
            if self._discovery is not None:
                self._discovery.login(now_s)
        if self._unknown_machines and now_s >= self._clear_at_s:
            self._clear_unknown_machines()
        if self._other is not None:
            if now_s - self._other_seen_s > FORGET_S:
                self._forget_other(now_s)
            elif now_s - self._info_sent_s >= REPEAT_S:
                self._announce(now_s)
        if self._discovery is not None:
            self._pending.extend(self._discovery.take(now_s))
        return self._pending.popleft() if self._pending else None

    def _announce(self, now_s: float) -> None:
        self._info_sent_s = now_s
        self._pending.append(Message("retained", self._topics.info, self._info().encode(), 1, True))

    def _receive_info(self, message: Incoming, now_s: float) -> None:
        info = parse_info(message.payload)
        own = self._info()
        if info is None:
            return
        if info.instance == own.instance:
            self._is_read = True  # what was retained has been delivered before
            return
        if message.retained and self._logins == 1:
            # From before this monitor: an earlier run of it, or another one, which will answer.
            self._suspect(info.machines)
            return
        self._other, self._other_seen_s = info, now_s
        for machine in info.machines:
            self._unknown_machines.pop(machine, None)
        self._set_conflict(True)
        if now_s - self._info_sent_s >= REPEAT_S or info.instance not in self._reported:
            self._announce(now_s)
        if info.instance not in self._reported:
            self._reported.add(info.instance)
            logger.warning("MQTT: %s", describe_conflict(own, info))

    def _receive_status(self, payload: bytes, now_s: float) -> None:
        """Publish ``online`` again if another client or an old last will set ``offline``."""
        if payload != OFFLINE or now_s - self._reasserted_s < MIN_REASSERT_S:
            return
        self._reasserted_s = now_s
        self._pending.append(Message("retained", self._topics.status, ONLINE, 1, True))
        if self._other is not None:
            self._suspect(self._other.machines)
            self._clear_at_s = now_s + GRACE_S
        self._forget_other(now_s)

    def _forget_other(self, now_s: float) -> None:
        """Assume that the other monitor has ended; it answers if it has not."""
        if self._other is not None:
            self._set_conflict(False)
        self._other = None
        self._announce(now_s)

    def _receive_retained(self, message: Incoming) -> None:
        machine = self._topics.machine_of(message.topic)
        if machine is None:
            return
        if machine in set(self._known_machines()):
            if not message.payload:
                self._republish(machine)  # another client has cleared it
        elif message.retained and message.payload:
            self._suspect([machine])

    def _suspect(self, machines: Iterable[str]) -> None:
        for machine in machines:
            try:
                self._unknown_machines[check_name("machine", machine)] = None
            except ConfigError:
                logger.debug("MQTT: not the name of a machine: %r", machine)

    def _clear_unknown_machines(self) -> None:
        known = set(self._known_machines())
        if self._other is not None:
            known |= set(self._other.machines)
        unknown = [machine for machine in self._unknown_machines if machine not in known]
        self._unknown_machines.clear()
        for machine in unknown:
            for kind in RETAINED_KINDS:
                topic = self._topics.of_machine(machine, kind)
                self._pending.append(Message("retained", topic, b"", 1, True))
            if self._discovery is not None:
                self._pending.append(self._discovery.remove(machine))
        if unknown:
            logger.info(
                "MQTT: cleared the retained messages of machines that %s no longer has: %s",
                self._topics.node,
                ", ".join(sorted(unknown)),
            )


def describe_conflict(own: NodeInfo, other: NodeInfo) -> str:
    """Return a sentence for the user about another monitor with the same node name."""
    where = "on this computer" if other.host_id == own.host_id else "on another computer"
    machines = ", ".join(other.machines) or "none"
    text = (
        f"another monitor ({where}, host name {other.host!r}, machines {machines}) has the same "
        f"node name {own.node!r}, so each overwrites the messages of the other; give each "
        "monitor a different name: --node, or node: in the configuration"
    )
    if other.client_id == own.client_id:
        text += (
            f". Both have the client_id {own.client_id!r} as well, so each login disconnects the "
            "other; leave client_id out"
        )
    return text
