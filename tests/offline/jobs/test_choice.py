"""How many processes score, and where, with and without a GPU."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from asd_offline.jobs.choice import limit_workers, open_pool, resolve_device
from asd_offline.jobs.pool import Tick


def test_all_jobs_of_a_replay_score_on_one_kind_of_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=available: found)
        assert resolve_device("auto", cluster="") == expected
        assert resolve_device("auto", cluster="head:6379") == "cpu"
        assert resolve_device("cpu", cluster="") == "cpu"
        assert resolve_device("cuda", cluster="head:6379") == "cuda"


def test_few_processes_share_a_gpu() -> None:
    assert limit_workers(8, "cuda") == 2
    assert limit_workers(1, "cuda") == 1
    assert limit_workers(8, "cpu") == 8


@dataclass(frozen=True)
class _ReportGpus:
    """Writes the variable that hides GPUs from a process."""

    result: Path
    work: float = 1.0

    def run(self, tick: Tick) -> None:
        tick(1.0)
        self.result.write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all") + "\n")


@pytest.mark.parametrize(("device", "visible"), [("cpu", ""), ("cuda", "all")])
def test_processes_that_use_the_cpu_see_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, visible: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    jobs = [_ReportGpus(tmp_path / name) for name in ("0", "1")]
    with open_pool(
        2, ["torch"], cluster="", shared=tmp_path, device=device, notify=lambda _: None
    ) as pool:
        pool.run(jobs, lambda _: None)
    assert [job.result.read_text().strip() for job in jobs] == [visible, visible]
