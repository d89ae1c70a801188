"""The protocol by which tasks report their progress, independent of how it is displayed."""

from typing import Protocol


class Progress(Protocol):
    """Receive the progress of a task that has one or more named stages."""

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Report that ``done`` of ``total`` units of a stage are complete.

        Parameters
        ----------
        stage
            What is being done, such as ``"features"`` or the name of a file.
        done
            Completed units, of any kind and possibly fractional, in [0, total].
        total
            Units of the whole stage; may change between calls.
        detail
            Latest result to display with it, such as a loss; empty keeps the last one.
        """

    def message(self, text: str) -> None:
        """Report one sentence, independent of any stage."""


class NoProgress:
    """Discard progress reports."""

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Do nothing."""
