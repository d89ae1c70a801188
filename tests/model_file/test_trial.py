"""Files that are tried one after the other share processes; each failure costs one file only."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import trial, trial_process
from asd_monitor.model_file.trial_header import HEADER
from asd_monitor.model_file.trial_process import Request, Result
from tests.rig.hostile_models import Endless, Greedy, save_foreign, save_that_fails_later


def child_of(tried: trial.Trial) -> str:
    process = tried._process
    assert process is not None
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()


def test_a_file_that_fails_costs_neither_those_before_nor_those_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "MAX_CPU_S", 1)
    endless = save_that_fails_later(tmp_path / "endless.asd", Endless())
    greedy = save_that_fails_later(tmp_path / "greedy.asd", Greedy())
    good = save_foreign(tmp_path / "good.asd")
    with trial.Trial("torchscript") as tried:
        tried.run(good.read_bytes(), good)
        first = child_of(tried)
        for _ in range(2):
            tried.run(good.read_bytes(), good)
        assert child_of(tried) == first
        for bad in (endless, greedy):
            with pytest.raises(ModelFileError, match=rf"{bad.name}: "):
                tried.run(bad.read_bytes(), bad)
            tried.run(good.read_bytes(), good)
        assert child_of(tried) not in ("", first)


class FakeChild:
    """Gives the results that are listed for each child, in turn."""

    results: list[list[Result]]
    paths: list[str]

    def __init__(self, runtime: str) -> None:
        assert runtime == "torchscript"
        self.exceeded_time = False
        self._results = type(self).results.pop(0)

    def run(self, request: Request) -> Result:
        type(self).paths.append(request.path.name)
        return self._results.pop(0)

    def end(self) -> None: ...


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([["", "crash"], ["", ""]], ["", "", ""]),  # b fails after a, and passes by itself
        ([["", "crash"], ["crash"], [""]], ["", "crash", ""]),
        ([["crash"], ["", ""]], ["crash", "", ""]),
    ],
)
def test_a_file_that_fails_after_others_is_tried_by_itself(
    results: list[list[str]], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeChild.results = [[Result(text, is_final=True) for text in each] for each in results]
    FakeChild.paths = []
    monkeypatch.setattr(trial_process, "_Child", FakeChild)
    monkeypatch.setattr(trial_process, "warm_up", lambda runtime: None)
    monkeypatch.setattr(sys, "argv", ["trial"])
    requests = b"".join(HEADER.pack(1, 1, 1, 1) + name + b"x" for name in (b"a", b"b", b"c"))

    class Stream:
        def __init__(self, content: bytes = b"") -> None:
            self.buffer: Any = io.BytesIO(content)

    replies = Stream()
    monkeypatch.setattr(sys, "stdin", Stream(requests))
    monkeypatch.setattr(sys, "stdout", replies)
    trial_process.main()
    lines = replies.buffer.getvalue().splitlines()
    assert [json.loads(line)[0] for line in lines] == expected
    assert FakeChild.results == []
