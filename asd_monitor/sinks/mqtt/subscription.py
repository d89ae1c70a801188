"""Subscribe to the topics of this node unless the broker refuses it by disconnecting."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd_monitor.sinks.mqtt.connection import Connection

logger = logging.getLogger(__name__)

MAX_UNANSWERED = 2
"""A broker that ends this many connections without answering the subscription refuses it so."""


class SubscriptionCheck:
    """Answers of a broker to subscriptions, over one connection after the other."""

    def __init__(self) -> None:
        self._unanswered = 0

    @property
    def is_possible(self) -> bool:
        """Whether to subscribe on the next connection."""
        return self._unanswered < MAX_UNANSWERED

    def end(self, connection: "Connection") -> None:
        """Report a refused subscription, and note one that was answered by disconnecting."""
        if not connection.has_subscribed:
            return
        if connection.subscription is False and self._unanswered == 0:
            logger.info("MQTT: the broker does not let this monitor read below its own node, so "
                        "retained messages of removed machines are not cleared")  # fmt: skip
        if connection.subscription is not None:
            self._unanswered = 0
        elif self.is_possible:
            self._unanswered += 1
            if not self.is_possible:
                logger.warning("MQTT: the broker ends the connection when the monitor subscribes "
                               "to the topics of its own node; it no longer does")  # fmt: skip
