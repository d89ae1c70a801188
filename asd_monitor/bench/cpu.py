"""Processor time of the whole daemon beside that of the model alone."""

import time
from collections.abc import Iterator

from asd_monitor.bench.context import Setting
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.measurement import Figure
from asd_monitor.bench.model_only import BareModel

AREA = "cpu"
SETTLE_S = 8.0
ALLOWED_RATIO, ALLOWED_MS = 1.25, 4.0


def measure(setting: Setting) -> Iterator[Figure]:
    """Run one machine; count the process tree's time against the same windows in a loop."""
    before = _bare(setting)
    listened_s = setting.long(60.0, 3.0)
    setting.tell(f"a daemon with one machine, for {listened_s:.0f} s")
    with Daemon(setting.one_machine(), setting.work.folder) as daemon:
        time.sleep(setting.long(SETTLE_S, 2.0))
        first = daemon.usage()
        time.sleep(listened_s)
        last = daemon.usage()
    after = _bare(setting)
    daemon_ms = 1e3 * (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)
    model_ms = 1e3 * min(before.looped_s, after.looped_s) / before.hop_s
    paced_ms = 1e3 * min(before.paced_s, after.paced_s) / before.hop_s
    allowed_ms = ALLOWED_RATIO * model_ms + ALLOWED_MS
    yield Figure(AREA, "model_ms_per_s", model_ms, "model alone in a loop, per s of audio", "ms")
    yield Figure(AREA, "model_paced_ms_per_s", paced_ms, "model alone, with pauses", "ms")
    told = f"daemon, {last.processes} process(es), per s of audio"
    yield Figure(AREA, "daemon_ms_per_s", daemon_ms, told, "ms", at_most=allowed_ms)
    yield Figure(AREA, "overhead_ms_per_s", daemon_ms - model_ms, "daemon beyond the loop", "ms")
    told = "daemon beyond the model with pauses"
    yield Figure(AREA, "paced_overhead_ms_per_s", daemon_ms - paced_ms, told, "ms")
    yield Figure(AREA, "ratio", daemon_ms / model_ms, "daemon to model in a loop", "")


def _bare(setting: Setting) -> BareModel:
    rounds, paced = (2, 4) if setting.quick else (5, 40)
    setting.tell("the model alone")
    work = setting.work
    return BareModel.measure(work.model, work.sound, rounds=rounds, paced=paced)
