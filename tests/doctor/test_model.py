"""Models: missing, damaged, too slow, or without the target."""

from pathlib import Path

import pytest

from asd_monitor.doctor import model, runtime
from asd_monitor.doctor.finding import Status
from asd_monitor.errors import ConfigError
from tests.doctor.findings import make_context, only
from tests.rig.toy_model import save_toy


def test_an_intact_model_is_timed(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "toy.asd")
    findings = model.check_models(make_context(machine={"model": str(path), "target": "fan"}))
    assert {finding.status for finding in findings} == {Status.OK}
    speed = only(findings, "model speed")
    assert speed.facts["microphones"] is not None
    assert 0 < float(speed.facts["real_time_factor"] or 0.0) < 1


def test_a_damaged_model_fails(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "toy.asd")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (finding,) = model.check_models(make_context(machine={"model": str(path)}))
    assert (finding.status, finding.exit_code) == (Status.FAILED, 3)


def test_a_missing_model_fails(tmp_path: Path) -> None:
    (finding,) = model.check_models(make_context(machine={"model": str(tmp_path / "none.asd")}))
    assert (finding.status, finding.exit_code) == (Status.FAILED, 3)


def test_a_target_that_the_model_does_not_have_fails(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "toy.asd")
    findings = model.check_models(make_context(machine={"model": str(path), "target": "valve"}))
    assert Status.FAILED in {finding.status for finding in findings if finding.check == "model"}


def test_a_target_of_a_machine_that_is_to_be_learned_fails(tmp_path: Path) -> None:
    context = make_context(machine={"target": "valve"}, state_dir=str(tmp_path))
    (finding,) = model.check_models(context)
    assert (finding.status, finding.exit_code) == (Status.FAILED, ConfigError.exit_code)
    assert finding.hint.startswith("leave the target out")


@pytest.mark.parametrize(("learns", "status"), [(True, Status.OK), (False, Status.FAILED)])
def test_a_machine_without_a_model_is_learned_or_refused(
    learns: bool, status: Status, tmp_path: Path
) -> None:
    (finding,) = model.check_models(
        make_context(state_dir=str(tmp_path), learn={"enabled": learns})
    )
    assert finding.status is status


def test_a_missing_gpu_fails_only_if_the_device_is_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    by_device = {
        device: runtime.check_gpu(make_context(device=device))[0] for device in ("auto", "cuda")
    }
    assert by_device["auto"].status is Status.OK
    assert (by_device["cuda"].status, by_device["cuda"].exit_code) == (Status.FAILED, 3)
