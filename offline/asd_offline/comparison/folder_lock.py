"""Locks of the folder that a comparison writes."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from asd_monitor.errors import RunError
from asd_monitor.file_lock import file_lock
from asd_offline.jobs.shards import Shard

LOCK = ".lock"


@contextmanager
def locked_folder(out: Path, shard: Shard | None = None) -> Iterator[None]:
    """Create the folder; keep other comparisons out of it, or other runs of the same shard."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not any(out.glob(f"{LOCK}*")):
            msg = f"{out}: expected a new or empty folder, or one of an earlier comparison"
            raise RunError(f"{msg}; choose another --out")
        of_shards = sorted(out.glob(f"{LOCK}-shard-*"))
    except OSError as error:
        msg = f"{out}: cannot be written: {error.strerror}; choose another --out"
        raise RunError(msg) from error
    locks = [out / LOCK, *of_shards]
    if shard:
        locks = [out / f"{LOCK}-shard-{shard.number}-of-{shard.count}"]
    with ExitStack() as stack:
        for lock in locks:
            stack.enter_context(
                file_lock(lock, RunError, f"{out}: another comparison writes there")
            )
        yield
