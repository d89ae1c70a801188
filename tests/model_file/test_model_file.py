"""A model file is loaded intact, or refused with one clear error."""

import io
import json
import os
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import load, read_manifest, save, script
from asd_monitor.model_file.archive import read_bytes, seal, unseal
from asd_monitor.model_file.made_here import note_made
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.model_file.torchscript import DEPRECATION_TEXT
from asd_monitor.normal_sound.statistics import NormalSound
from tests.rig.toy_model import TARGETS, WINDOW_SAMPLES, LogBands, manifest, noise, save_toy

FLIPS = 200


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("model") / "toy.asd")


def rewritten(saved: Path, path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Change members of a model file and seal it again, as an attacker would."""
    members = unseal(saved.read_bytes(), saved)
    change(members)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    path.write_bytes(seal(buffer.getvalue()))
    note_made(path.read_bytes())  # without a trial: the checks after it are tested
    return path


def change_json(member: str, **changes: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        [name] = [name for name in members if name.endswith(f"/extra/{member}")]
        members[name] = json.dumps(json.loads(members[name]) | changes).encode()

    return change


def test_a_loaded_model_scores_as_the_module_did(saved: Path) -> None:
    windows, targets = noise(5), np.array([0, 1, 0, 1, 1])
    expected = LogBands()(torch.from_numpy(windows), torch.from_numpy(targets)).numpy()
    scores = load(saved, "cpu").score(windows, targets)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_evidence_is_available_where_the_module_has_it(saved: Path, tmp_path: Path) -> None:
    class WithoutEvidence(torch.nn.Module):
        def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return waveform.abs().amax(1)

    model = load(saved, "cpu")
    evidence = model.evidence(noise(2), np.array([0, 1]))
    assert evidence is not None
    assert evidence.shape == (2, 8, 5)
    save(tmp_path / "plain.asd", script(WithoutEvidence()), manifest())
    assert load(tmp_path / "plain.asd", "cpu").evidence(noise(2), np.array([0, 1])) is None


def test_the_manifest_is_restored_as_it_was_written(saved: Path) -> None:
    stored, sha256 = read_manifest(saved)
    assert stored == manifest()
    model = load(saved, "cpu")
    assert (model.manifest, model.sha256) == (stored, sha256)


def test_a_manifest_of_an_earlier_version_has_no_learned_levels() -> None:
    values = dict(manifest(levels={"fan": LearnedLevels(-50.0, -40.0, -30.0)}).to_dict())
    assert Manifest.from_dict(values).levels["fan"].quietest_dbfs == -50.0
    del values["levels"]
    assert Manifest.from_dict(values).levels == {}


def test_saving_returns_the_hash_of_the_file(tmp_path: Path) -> None:
    sha256 = save(tmp_path / "toy.asd", script(LogBands()), manifest())
    assert read_manifest(tmp_path / "toy.asd")[1] == sha256


def test_reading_a_manifest_needs_no_torch(saved: Path) -> None:
    code = (
        "import sys; from asd_monitor.model_file import read_manifest;"
        "print(read_manifest(sys.argv[1])[0].name, 'torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "log bands False\n"


def normal_sound() -> NormalSound:
    sound = 0.01 * np.random.default_rng(1).standard_normal((4, 16_000))
    return NormalSound.fit(sound.astype(np.float32), 16_000, 1.0)


def test_statistics_of_normal_sound_are_optional_and_restored(saved: Path, tmp_path: Path) -> None:
    target = manifest().targets[0]
    path = tmp_path / "with.asd"
    save(path, script(LogBands()), manifest(), normal_sound={target: normal_sound()})
    restored = load(path, "cpu").normal_sound
    assert list(restored) == [target]
    np.testing.assert_allclose(
        restored[target].mean.median_db, normal_sound().mean.median_db, atol=0.01
    )
    assert load(saved, "cpu").normal_sound == {}


@pytest.mark.parametrize("content", [{"nowhere": {}}, {"pump": 3}, {"pump": {"version": 1}}])
def test_damaged_statistics_of_normal_sound_are_refused(
    tmp_path: Path, content: dict[str, object]
) -> None:
    target = manifest().targets[0]
    content = {target if key == "pump" else key: value for key, value in content.items()}
    saved = tmp_path / "with.asd"
    save(saved, script(LogBands()), manifest(), normal_sound={target: normal_sound()})
    damaged = rewritten(
        saved, tmp_path / "damaged.asd", change_json("normal_sound.json", **content)
    )
    with pytest.raises(ModelFileError, match=r"normal_sound\.json"):
        load(damaged, "cpu")


def test_the_caller_may_give_the_reference_windows(tmp_path: Path) -> None:
    save(tmp_path / "own.asd", script(LogBands()), manifest(), reference_windows=noise(3))
    assert load(tmp_path / "own.asd", "cpu").manifest == manifest()


def test_an_unknown_target_is_refused_with_a_list_of_the_targets(saved: Path) -> None:
    model = load(saved, "cpu")
    assert [model.target_index(name) for name in TARGETS] == [0, 1]
    with pytest.raises(ModelFileError, match="no target 'valve'; it has: pump, fan"):
        model.target_index("valve")


@pytest.mark.parametrize(
    ("windows", "targets"),
    [
        (noise(2)[:, :-1], np.array([0, 0])),
        (noise(2), np.array([0])),
        (noise(2), np.array([0, 2])),
        (noise(2), np.array([-1, 0])),
    ],
)
def test_windows_and_targets_of_a_wrong_shape_or_range_are_refused(
    saved: Path, windows: np.ndarray, targets: np.ndarray
) -> None:
    with pytest.raises(ValueError, match="expected"):
        load(saved, "cpu").score(windows, targets)


def test_a_flipped_bit_anywhere_is_refused_or_changes_no_score(saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    windows, targets = noise(2), np.array([0, 1])
    expected = load(saved, "cpu").score(windows, targets).tolist()
    random = np.random.default_rng(0)
    refused = 0
    for bit in random.choice(8 * len(content), FLIPS, replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path = tmp_path / "flipped.asd"
        path.write_bytes(flipped)
        note_made(bytes(flipped))
        try:
            assert load(path, "cpu").score(windows, targets).tolist() == expected
        except ModelFileError as error:
            assert str(path) in str(error)  # noqa: PT017 - either outcome is correct
            refused += 1
    assert refused >= FLIPS // 2


@pytest.mark.parametrize("size", [0, 1, 100, 0.5, -1])
def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path, size: float) -> None:
    content = saved.read_bytes()
    short = tmp_path / "short.asd"
    short.write_bytes(content[: int(size * len(content)) if size == 0.5 else int(size)])
    with pytest.raises(ModelFileError, match=r"short\.asd: (cut short|not a model file)"):
        load(short, "cpu")


@pytest.mark.parametrize("text", ["", "hello", "PK\x03\x04", "{}" * 1000])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.asd").write_text(text)
    with pytest.raises(ModelFileError, match=r"other\.asd: (not a model file|cut short)"):
        read_manifest(tmp_path / "other.asd")


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="found nothing there"):
        load(tmp_path / "missing.asd")
    with pytest.raises(ModelFileError, match="found something else"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="found something else"):
        load(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="not a path"):
        load("a\0b")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.asd").open("wb") as opened:
        opened.truncate(2**31)  # sparse
    with pytest.raises(ModelFileError, match="at most 1073741824 bytes"):
        read_bytes(tmp_path / "huge.asd")


def test_an_archive_that_would_unpack_too_large_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("bomb", bytes(10_000_000))
    with pytest.raises(ModelFileError, match="unpacks to more than"):
        unseal(buffer.getvalue(), tmp_path, max_bytes=1_000_000)


def test_plain_torchscript_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=DEPRECATION_TEXT)
        torch.jit.save(script(LogBands()), tmp_path / "plain.pt")
    with pytest.raises(ModelFileError, match=r"has no integrity\.json"):
        load(tmp_path / "plain.pt")


def test_added_removed_changed_and_duplicate_members_are_refused(
    saved: Path, tmp_path: Path
) -> None:
    path = tmp_path / "changed.asd"
    path.write_bytes(saved.read_bytes())
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("archive/extra/more.json", "{}")
    with pytest.raises(ModelFileError, match="missing or added"):
        load(path)
    path.write_bytes(saved.read_bytes())
    with zipfile.ZipFile(path, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("archive/version", "3\n")
    with pytest.raises(ModelFileError, match="duplicate"):
        load(path)
    for keep, content in (("archive/version", None), ("archive/version", b"9\n")):
        with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                if name != keep or content is not None:
                    new.writestr(name, content if name == keep and content else old.read(name))
        with pytest.raises(ModelFileError, match=r"missing or added|has changed"):
            load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "version 1, the file has version 2; update asd-monitor"),
        ({"format_version": "1"}, "format_version"),
        ({"sample_rate_hz": float("nan")}, "sample_rate_hz"),
        ({"sample_rate_hz": 0}, "sample_rate_hz"),
        ({"window_samples": "800"}, "window_samples"),
        ({"hop_samples": 801}, "hop_samples"),
        ({"hop_samples": True}, "hop_samples"),
        ({"targets": []}, "targets"),
        ({"targets": ["fan", "fan"]}, "targets"),
        ({"targets": "fan"}, "targets"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"aggregation": "median"}, "aggregation"),
        ({"calibrations": {"valve": {}}}, "calibrations"),
        ({"calibrations": [1]}, "calibrations"),
        ({"thresholds": {"fan": {"value": float("inf"), "p": 0.1, "rule": ""}}}, "threshold"),
        ({"thresholds": {"fan": {"value": 1.0, "p": 1.5, "rule": ""}}}, "threshold p"),
        ({"thresholds": {"fan": {"value": 1.0}}}, "value, p, rule"),
        ({"levels": {"valve": {}}}, "levels"),
        ({"levels": {"fan": {"quietest_dbfs": -30.0}}}, "quietest_dbfs"),
        ({"training": None}, "training"),
        ({"surprise": 1}, "entries"),
    ],
)
def test_an_invalid_manifest_is_refused(
    saved: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = rewritten(saved, tmp_path / "odd.asd", change_json("manifest.json", **changes))
    for read in (read_manifest, load):
        with pytest.raises(ModelFileError, match=message):
            read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [1.0, 2.0]}, "expected 1, got|expected 2, got"),
        ({"scores": [1.0]}, "do not match"),
        ({"scores": "none"}, "cannot be used"),
        ({"targets": [0, 5]}, "cannot be used"),
        ({"targets": None}, "cannot be used"),
    ],
)
def test_other_scores_of_the_reference_windows_are_refused(
    saved: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = rewritten(saved, tmp_path / "odd.asd", change_json("golden.json", **changes))
    with pytest.raises(ModelFileError, match=message):
        load(path, "cpu")


class Zero(torch.nn.Module):
    """Scores of zero, such as the logarithm of a probability of one."""

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return waveform[:, 0] * 0.0


def test_a_rounding_error_of_a_score_of_zero_is_tolerated(tmp_path: Path) -> None:
    saved = tmp_path / "zero.asd"
    save(saved, script(Zero()), manifest())
    near = rewritten(saved, tmp_path / "a.asd", change_json("golden.json", scores=[-2.4e-7, 0.0]))
    load(near, "cpu")
    far = rewritten(saved, tmp_path / "b.asd", change_json("golden.json", scores=[-2.4e-6, 0.0]))
    with pytest.raises(ModelFileError, match="does not reproduce its reference scores"):
        load(far, "cpu")


@pytest.mark.parametrize(("change", "is_loaded"), [(5e-5, True), (2e-4, False)])
def test_reference_scores_may_differ_by_1e_4_of_the_largest(
    saved: Path, tmp_path: Path, change: float, is_loaded: bool
) -> None:
    def scale(members: dict[str, bytes]) -> None:
        [name] = [name for name in members if name.endswith("/extra/golden.json")]
        reference = json.loads(members[name])
        reference["scores"] = [(1 + change) * score for score in reference["scores"]]
        members[name] = json.dumps(reference).encode()

    path = rewritten(saved, tmp_path / "scaled.asd", scale)
    if is_loaded:
        load(path, "cpu")
    else:
        with pytest.raises(ModelFileError, match="does not reproduce its reference scores"):
            load(path, "cpu")


@pytest.mark.parametrize(("targets", "scores"), [(1, 2), (3, 3), (16, 16), (20, 16)])
def test_each_reference_window_and_up_to_16_targets_have_a_reference_score(
    tmp_path: Path, targets: int, scores: int
) -> None:
    names = tuple(f"fan/id_{i:02d}" for i in range(targets))
    save(
        tmp_path / "many.asd",
        script(Zero()),
        manifest(targets=names, calibrations={}, thresholds={}),
    )
    members = unseal((tmp_path / "many.asd").read_bytes(), tmp_path)
    [reference] = [members[name] for name in members if name.endswith("/extra/golden.json")]
    assert len(json.loads(reference)["scores"]) == scores


def without(member: str) -> Callable[[dict[str, bytes]], None]:
    return lambda members: members.__delitem__(member)


def test_a_file_sealed_again_without_its_manifest_or_code_is_refused(
    saved: Path, tmp_path: Path
) -> None:
    for member in ("archive/extra/manifest.json", "archive/data.pkl", "archive/extra/golden.f32"):
        path = rewritten(saved, tmp_path / "less.asd", without(member))
        with pytest.raises(ModelFileError, match=r"less\.asd: "):
            load(path, "cpu")


class NotFinite(torch.nn.Module):
    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.log(-waveform.abs().sum(1) - 1.0)


class TwoDimensional(torch.nn.Module):
    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return waveform


class Failing(torch.nn.Module):
    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return waveform.view(-1, 7).sum(1)


@pytest.mark.parametrize(
    ("module", "message"),
    [(NotFinite(), "finite"), (TwoDimensional(), "shape"), (Failing(), "forward failed")],
)
def test_a_module_that_breaks_the_contract_is_not_saved(
    tmp_path: Path, module: torch.nn.Module, message: str
) -> None:
    with pytest.raises(ModelFileError, match=message):
        save(tmp_path / "bad.asd", script(module), manifest())
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "toy.asd")
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match="finite"):
        save(path, script(NotFinite()), manifest())
    assert path.read_bytes() == before
    (tmp_path / "taken").mkdir()
    with pytest.raises(ModelFileError, match="cannot be written"):
        save(tmp_path / "taken", script(LogBands()), manifest())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["taken", "toy.asd"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_is_refused_where_there_is_none(saved: Path) -> None:
    with pytest.raises(ModelFileError, match="no CUDA device"):
        load(saved, "cuda")
    assert load(saved, "auto").device == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_cuda_gives_equal_scores(saved: Path) -> None:
    windows, targets = noise(4), np.array([0, 1, 0, 1])
    expected = load(saved, "cpu").score(windows, targets)
    np.testing.assert_allclose(load(saved, "cuda").score(windows, targets), expected, rtol=1e-3)


def test_an_unknown_device_is_refused(saved: Path) -> None:
    with pytest.raises(ModelFileError, match="auto, cpu or cuda"):
        load(saved, "tpu")


def test_the_filter_matches_the_warnings_of_torch() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.jit.script(LogBands())
    assert caught
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=DEPRECATION_TEXT)
        for warning in caught:
            warnings.warn(warning.message, warning.category, stacklevel=1)


def test_loading_and_saving_give_no_warnings(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_toy(tmp_path / "toy.asd")
        load(tmp_path / "toy.asd", "cpu").score(noise(1), np.array([0]))


def test_a_manifest_validates_itself() -> None:
    with pytest.raises(ValueError, match="window_samples"):
        manifest(window_samples=0)
    with pytest.raises(ValueError, match="name"):
        manifest(name="x" * 201)
    with pytest.raises(ValueError, match="JSON"):
        manifest(description={"rate": float("nan")})
    assert manifest(name="x" * 200).name == "x" * 200
    assert isinstance(manifest(), Manifest)
    assert manifest().window_samples == WINDOW_SAMPLES
