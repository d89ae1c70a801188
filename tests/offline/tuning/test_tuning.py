"""A recipe is chosen from normal recordings alone."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.errors import DatasetError
from asd_monitor.progress import NoProgress
from asd_offline.comparison import CompareSettings
from asd_offline.datasets import open_dataset
from asd_offline.datasets.clip import Clip, Domain
from asd_offline.tuning.choice import choose, rate
from asd_offline.tuning.folds import LIST, MAX_TEST_CLIPS, MAX_TRAIN_CLIPS, plan_folds, write_folds
from asd_offline.tuning.run import find_normals
from asd_offline.tuning.suitable import suitable_models
from tests.offline.compared_models import TWFR
from tests.offline.small_sounds import make_set


def clips(count: int, sections: int = 1) -> list[Clip]:
    return [
        Clip(Path(f"{n}.wav"), 2020, "fan", f"id_{n % sections:02}", "", "train", 0, name=f"{n}")
        for n in range(count)
    ]


@given(count=st.integers(3, 60), folds=st.integers(2, 3), sections=st.integers(1, 3))
def test_every_recording_is_tested_once_and_never_by_what_was_trained_on_it(
    count: int, folds: int, sections: int
) -> None:
    found = plan_folds(clips(count, sections), folds)
    tested = [clip for fold in found for clip in fold.test]
    assert sorted(clip.name for clip in tested) == sorted(map(str, range(count)))
    for fold in found:
        assert not set(fold.train) & set(fold.test)
        assert len(fold.train) + len(fold.test) == count
    sizes = [len(fold.test) for fold in found]
    assert max(sizes) - min(sizes) <= 1


def test_many_recordings_are_thinned_out_over_all_sections() -> None:
    for fold in plan_folds(clips(1500, 3), 3):
        assert (len(fold.train), len(fold.test)) == (MAX_TRAIN_CLIPS, MAX_TEST_CLIPS)
        assert Counter(clip.section for clip in fold.test) == dict.fromkeys(
            ("id_00", "id_01", "id_02"), MAX_TEST_CLIPS // 3
        )


def test_the_few_recordings_of_the_target_domain_are_kept() -> None:
    many = [replace(clip, domain="source") for clip in clips(990)]
    few = [replace(clip, domain="target", name=f"t{clip.name}") for clip in clips(10)]
    folds = plan_folds([*many, *few], 3)
    tested = [clip for fold in folds for clip in fold.test if clip.domain == "target"]
    assert sorted(clip.name for clip in tested) == sorted(clip.name for clip in few)
    for fold in folds:
        domains = Counter(clip.domain for clip in fold.train)
        assert domains["target"] == 10 - sum(clip.domain == "target" for clip in fold.test)
        assert len(fold.train) == MAX_TRAIN_CLIPS


def test_too_few_recordings_are_refused() -> None:
    with pytest.raises(DatasetError, match="at least 5 normal recordings for 5 folds, found 4"):
        plan_folds(clips(4), 5)


def choose_from(**aucs: Sequence[float]) -> tuple[str, str]:
    chosen, reason = choose(rate(aucs))
    return chosen.model, reason


def test_a_clearly_better_model_is_chosen() -> None:
    model, reason = choose_from(quickstart=(0.6, 0.6, 0.61), autoencoder=(0.9, 0.9, 0.91))
    assert model == "autoencoder"
    assert "every other model is behind" in reason


def test_of_models_that_are_about_as_good_the_simplest_is_chosen() -> None:
    model, reason = choose_from(quickstart=(0.9, 0.7, 0.8), autoencoder=(0.8, 0.9, 0.8))
    assert model == "quickstart"
    assert "is the simplest of the models within one standard error" in reason
    assert "autoencoder is ahead by 0.033" in reason
    model, reason = choose_from(quickstart=(0.9, 0.8), autoencoder=(0.9, 0.8))
    assert model == "quickstart"
    assert "is simpler than the other model within one standard error" in reason


def test_a_model_without_competitors_is_not_called_better_than_others() -> None:
    _, reason = choose_from(quickstart=(0.9, 0.8))
    assert reason == "is the only model that could be rated; its mean AUC is 0.850"


def test_the_standard_error_accounts_for_overlapping_training_parts() -> None:
    rated = rate({"quickstart": (0.9, 0.9, 0.9), "autoencoder": (0.8, 0.7, 0.6)})
    assert rated[1].behind == pytest.approx(0.2)
    assert rated[1].standard_error == pytest.approx(0.1 * np.sqrt(1 / 3 + 1 / 2))


def test_models_are_tried_where_the_data_suffice() -> None:
    few, notes = suitable_models(clips(10))
    assert few == ("quickstart", "modulation_knn", "twfr_gmm")
    assert "autoencoder is not tried: it takes 20 recordings, found 10" in notes
    assert "stgram_mfn" not in suitable_models(clips(300))[0]
    assert "stgram_mfn" in suitable_models(clips(300, 3))[0]
    assert "autoencoder_mahalanobis" not in suitable_models(clips(300))[0]
    domains: tuple[Domain, ...] = ("source", "target")
    two = [replace(clip, domain=domains[index % 2]) for index, clip in enumerate(clips(20))]
    assert "autoencoder_mahalanobis" in suitable_models(two)[0]


def test_an_encoder_is_tried_if_the_user_has_a_recipe_for_it(tmp_path: Path) -> None:
    assert "pretrained" not in suitable_models(clips(10), tmp_path)[0]
    (tmp_path / "pretrained.yaml").touch()
    assert "pretrained" in suitable_models(clips(10), tmp_path)[0]


def test_folds_keep_domain_and_attributes(tmp_path: Path) -> None:
    dataset = tmp_path / "set/fan"
    for number in range(3):
        name = f"section_00_source_train_normal_{number:04d}_spd_{number}_n_B.wav"
        write(dataset / "train" / name, number)
    write(dataset / "train/section_00_target_train_normal_0000_spd_9_n_C.wav", 9)
    train = open_dataset(tmp_path / "set", 2023).select(split="train")
    folder = tmp_path / "folds"
    write_folds(folder, plan_folds(train, 2), NoProgress())
    folds = open_dataset(folder / LIST)
    assert not folds.rejected
    assert folds.machines() == ("fan-fold0", "fan-fold1")
    found = folds.select(split="test") + folds.select(split="train")
    conditions = {(clip.domain, clip.attributes) for clip in found}
    assert conditions == {(clip.domain, clip.attributes) for clip in train}
    tests = Counter((clip.label, clip.domain) for clip in folds.select(split="test"))
    assert tests == {(0, "source"): 3, (1, "source"): 6, (0, "target"): 1, (1, "target"): 2}


def test_folds_keep_the_far_channel_with_a_fainter_fault(tmp_path: Path) -> None:
    dataset = tmp_path / "set/fan"
    rng = np.random.default_rng(0)
    for number in range(4):
        name = f"train/section_00_source_train_normal_{number:04d}_spd_1.wav"
        write(dataset / name, number)
        near, rate_hz = soundfile.read(dataset / name)
        far = 0.1 * rng.standard_normal(len(near))
        soundfile.write(dataset / name, np.stack([near, far], axis=1), rate_hz)
    folder = tmp_path / "folds"
    train = open_dataset(tmp_path / "set", 2026).select(split="train")
    (fold, _) = plan_folds(train, 2)
    write_folds(folder, [fold], NoProgress())
    sounds = {path.name: soundfile.read(path)[0] for path in folder.glob("*/test/*.wav")}
    assert {sound.shape for sound in sounds.values()} == {(16000, 2)}
    normal = sounds["normal_00000000.wav"]
    for name in ("anomaly_00000000.wav", "anomaly_00000001.wav"):
        gain = np.linalg.lstsq(normal, sounds[name], rcond=None)[0]
        near, far = (sounds[name] - normal @ gain).std(axis=0)
        assert 20 * np.log10(far / near) == pytest.approx(-12.0, abs=1.5)
    original = soundfile.read(fold.test[0].path)[0]
    np.testing.assert_allclose(normal, original, atol=1e-4)


def test_a_single_long_recording_is_divided_like_in_training(tmp_path: Path) -> None:
    dataset = tmp_path / "press"
    write(dataset / "sunday.wav", 3, seconds=80.0)
    clips, notes = find_normals(CompareSettings(dataset, tmp_path / "out", tmp_path / "cache"))
    assert len(clips) == 8
    assert "split into 8 clips" in notes[0]
    assert len(plan_folds(clips, 3)) == 3


def write(path: Path, seed: int, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).standard_normal(int(16000 * seconds))
    soundfile.write(path, 0.1 * noise, 16000)


def test_the_command_chooses_without_opening_test_recordings(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    tests = [*dataset.glob("*/test/*.wav")]
    assert tests
    for path in tests:
        path.write_bytes(b"no sound, and its name says nothing true")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/twfr_gmm.yaml").write_text(TWFR)
    arguments = ["tune", str(dataset), "--models", "twfr_gmm", "--folds", "2", "--jobs", "1"]
    arguments += [f"--{name}={tmp_path / name}" for name in ("out", "recipes", "cache")]
    result = CliRunner().invoke(create_app(), arguments)
    assert result.exception is None, result.exception
    assert "Chosen: twfr_gmm" in result.stdout
    assert (tmp_path / "out/recipe.yaml").read_text().startswith("# Chosen by asd-monitor tune: ")
    document = json.loads((tmp_path / "out/tuning.json").read_text())
    assert document["chosen"] == "twfr_gmm"
    assert all(0 <= auc <= 1 for auc in document["models"][0]["auc_by_fold"])
    again = CliRunner().invoke(create_app(), [*arguments, "--json"])
    assert json.loads(again.stdout) == document
    for path in dataset.glob("*/train/*.wav"):
        sound, rate_hz = soundfile.read(path)
        soundfile.write(path.with_name(f"normal_id_00_9{path.name[-11:]}"), sound, rate_hz)
    refused = CliRunner().invoke(create_app(), arguments)
    assert isinstance(refused.exception, DatasetError)
    assert "give another --out" in str(refused.exception)
