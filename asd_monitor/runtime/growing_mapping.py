"""A mapping that one part of the monitor changes while others read it."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class GrowingMapping(Mapping[Key, Value]):
    """A mapping that any thread may change while others iterate over it.

    Parameters
    ----------
    items
        What it contains at first.
    """

    def __init__(self, items: Mapping[Key, Value]) -> None:
        self._items = dict(items)

    def add(self, key: Key, value: Value) -> None:
        """Add an item, or replace its value."""
        # A new dict, because the old one may be being iterated over.
        self._items = {**self._items, key: value}

    def remove(self, key: Key) -> None:
        """Remove an item, if there is one with this key."""
        self._items = {other: value for other, value in self._items.items() if other != key}

    def __getitem__(self, key: Key) -> Value:
        """Return the value of a key; raise KeyError if there is none."""
        return self._items[key]

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys that exist now."""
        return iter(self._items)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)
