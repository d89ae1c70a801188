"""The check of a GPU runs on a CPU too; a stage that fails or hangs leaves the others."""

import json
from pathlib import Path

import pytest

from asd_offline.benchmarks.gpu_check import find_largest, main


@pytest.mark.parametrize("largest", [0, 1, 2, 3, 7, 100, 1000, 4096, 9999])
def test_the_largest_number_of_machines_is_found_to_an_eighth(largest: int) -> None:
    found = find_largest(lambda machines: machines <= largest, limit=4096)
    assert found <= largest
    assert found >= min(largest, 4096) * 7 / 8


def test_a_stage_that_cannot_finish_leaves_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    arguments = ["--device", "cpu", "--models", "nothing", "--stages", "device,parity"]
    with pytest.raises(SystemExit):
        main([*arguments, "--recipes", str(tmp_path), "--out", str(out)])
    stages = json.loads(out.read_text())["stages"]
    assert stages["device"]["result"] == "finished"
    assert stages["device"]["torch"]
    assert stages["parity"]["result"].startswith("failed: ")
    assert "nothing" in stages["parity"]["result"]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*arguments[:4], "--stages", "device", "--limit", "0.01"])
    document = json.loads(capsys.readouterr().out)
    assert "not finished within" in document["stages"]["device"]["result"]


@pytest.mark.soak
def test_all_stages_run_on_the_cpu(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    main(["--device", "cpu", "--out", str(out), "--limit", "900"])
    stages = json.loads(out.read_text())["stages"]
    for model in ("quickstart", "autoencoder"):
        assert stages["parity"]["models"][model]["largest_relative_difference"] == 0.0
        assert stages["throughput"]["models"][model]["machines_at_1_s_hop"] > 0
