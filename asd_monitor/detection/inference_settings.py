"""The settings of scoring."""

from typing import Annotated, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict

from asd_monitor.processes.workers import available_cores

MAX_WORKERS = 32
MAX_AUTO_WORKERS = 4
"""More gain little: what follows a model call is done by one thread."""


def _check_workers(value: object) -> int | str:
    workers = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not (type(workers) is int and 1 <= workers <= MAX_WORKERS) and value != "auto":
        raise ValueError(f"expected a number of threads from 1 to {MAX_WORKERS}, or auto")
    return cast("int | str", workers)


Workers = Annotated[int | Literal["auto"], BeforeValidator(_check_workers)]
"""A number of threads."""


class InferenceSettings(BaseModel):
    """How windows are scored."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    workers: Workers = "auto"
    """Threads that score the windows of several models at the same time, on a CPU; auto: as many
    as this program has cores, at most 4."""

    def count_workers(self) -> int:
        """Return the number of threads that score."""
        if self.workers == "auto":
            return min(available_cores(), MAX_AUTO_WORKERS)
        return self.workers
