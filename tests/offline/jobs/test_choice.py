"""How many processes score, and where, with and without a GPU."""

import pytest
import torch

from asd_offline.jobs.choice import limit_workers, resolve_device


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
