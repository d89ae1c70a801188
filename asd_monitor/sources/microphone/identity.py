"""The identity of a microphone, as models and recordings remember it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from asd_monitor.sources.microphone.devices import Microphone


@dataclass(frozen=True, slots=True)
class MicrophoneIdentity:
    """Which microphone a machine was learned with."""

    stable_id: str
    name: str
    """PortAudio's name, for users; it may change."""
    port: str = ""
    """USB port; distinguishes devices that share a serial number."""

    @property
    def label(self) -> str:
        """Name and id, for messages."""
        return f"{self.name!r} (id {self.stable_id})"

    def to_dict(self) -> dict[str, str]:
        """Return JSON-ready values that :meth:`from_json` restores."""
        return {"id": self.stable_id, "name": self.name, "port": self.port}

    @classmethod
    def from_json(cls, values: object) -> Self | None:
        """Restore an identity; None if the values are not one."""
        if not isinstance(values, Mapping):
            return None
        texts = [values.get(key, "") for key in ("id", "name", "port")]
        if not all(isinstance(text, str) for text in texts) or not texts[0]:
            return None
        return cls(*texts)

    @classmethod
    def of(cls, microphone: Microphone) -> Self:
        """Return the identity of a microphone."""
        return cls(microphone.stable_id, microphone.name, microphone.port)

    def is_same(self, microphone: Microphone) -> bool:
        """Return whether a microphone is this one.

        One with a serial number may have been plugged in at another port, unless another device
        shares the number.
        """
        if microphone.matches_id(self.stable_id):
            return True
        shares_number = microphone.stable_id == f"{self.stable_id}@{microphone.port}"
        return shares_number and microphone.port == self.port
