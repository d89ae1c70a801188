"""Processor time of the whole daemon beside that of the model alone."""

import time
from collections.abc import Iterator

from asd_monitor.bench.bare_model import BareModel
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.figure import Figure
from asd_monitor.bench.setting import Setting

AREA = "cpu"
SETTLE_S = 8.0
ALLOWED_RATIO, ALLOWED_MS = 1.25, 4.0


def measure(setting: Setting) -> Iterator[Figure]:
    """Run one machine; count the process tree's time against the same windows in a loop."""
    rounds = 2 if setting.quick else 5
    setting.tell("the model alone, in a loop")
    before = BareModel.measure(setting.work.model, setting.work.sound, rounds)
    listened_s = setting.long(60.0, 5.0)
    setting.tell(f"a daemon with one machine, for {listened_s:.0f} s")
    with Daemon(setting.one_machine(), setting.work.folder) as daemon:
        time.sleep(setting.long(SETTLE_S, 2.0))
        first = daemon.usage()
        time.sleep(listened_s)
        last = daemon.usage()
    after = BareModel.measure(setting.work.model, setting.work.sound, rounds)
    daemon_ms = 1e3 * (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)
    model_ms = 1e3 * min(before.cpu_s, after.cpu_s) / before.hop_s
    yield Figure(AREA, "model_ms_per_s", model_ms, "model alone, per second of audio", "ms")
    allowed_ms = ALLOWED_RATIO * model_ms + ALLOWED_MS
    told = f"daemon, {last.processes} process(es), per second of audio"
    yield Figure(AREA, "daemon_ms_per_s", daemon_ms, told, "ms", at_most=allowed_ms)
    yield Figure(AREA, "overhead_ms_per_s", daemon_ms - model_ms, "daemon beyond the model", "ms")
    yield Figure(AREA, "ratio", daemon_ms / model_ms, "daemon to model", "")
