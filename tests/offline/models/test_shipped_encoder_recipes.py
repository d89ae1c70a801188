"""Every shipped recipe of a pretrained encoder gives a result, here with small random weights."""

from itertools import cycle
from pathlib import Path

import yaml

from asd_monitor.progress import NoProgress
from asd_offline.comparison import CompareSettings, compare
from asd_offline.comparison.run_result import OVERALL
from asd_offline.synth.challenge_set import ChallengeSetSettings, make_challenge_set
from tests.offline.small_checkpoints import WRITERS, checkpoint, sha256
from tests.rig.paths import CONFIGS

RECIPES = sorted((CONFIGS / "train").glob("pretrained*/*.yaml"))
RECIPES += [CONFIGS / "train/pretrained.yaml"]
SMALLER = {
    "epochs": 1,
    "lora_rank": 2,
    "embedding_dims": 8,
    "sub_clusters": 2,
    "encoder_clusters": 2,
    "bank_windows": 50,
}
"""Values of the settings that make a recipe slow; the others are used as shipped."""
PARTS: dict[str, dict[str, object]] = {
    "pretrained": {"bands": "separate", "backend": "density_neighbours"},
    "rdp_gem": {"pool": "rdp_gem", "backend": "variance_minimised_neighbours"},
    "domain_banks": {"backend": "domain_density_neighbours"},
    "far_channel": {"far_channel": "subtracted", "backend": "domain_neighbours"},
    "lora": {"pool": "attention", "backend": "domain_neighbours"},
    "lora_clusters": {"pool": "attention", "encoder_clusters": 2},
}
"""What each recipe is for. ``domain_neighbours`` enlarges the target domain by SMOTE."""


def with_small_weights(recipe: Path, architecture: str, folder: Path) -> Path:
    weights = checkpoint(folder / "weights", architecture)
    values = yaml.safe_load(recipe.read_text())
    values |= {key: value for key, value in SMALLER.items() if values.get(key)}
    values |= {"checkpoint": str(weights), "sha256": sha256(weights)}
    path = folder / recipe.name
    path.write_text(yaml.safe_dump(values))
    return path


def test_each_recipe_is_trained_and_replayed_on_stereo_recordings_of_two_domains(
    tmp_path: Path,
) -> None:
    settings = ChallengeSetSettings(2026, ("dev",), ("fan",), 12, test_clips=2, clip_s=1.0)
    make_challenge_set(tmp_path / "data", settings, NoProgress())
    pairs = zip(RECIPES, cycle(WRITERS), strict=False)
    configs = [with_small_weights(recipe, name, tmp_path) for recipe, name in pairs]
    comparison = compare(
        CompareSettings(
            tmp_path / "data",
            tmp_path / "out",
            tmp_path / "cache",
            configs=tuple(configs),
            seeds=1,
            device="cpu",
            jobs=1,
        ),
        NoProgress(),
    )
    assert [model.remarks() for model in comparison.models if model.failed] == []
    found = {model.candidate.name: model for model in comparison.models}
    assert found.keys() == PARTS.keys()
    for name, parts in PARTS.items():
        recipe = found[name].candidate.recipe
        assert recipe is not None
        assert recipe.model_dump() | parts == recipe.model_dump()
        assert (OVERALL, "score") in found[name].metrics
        assert found[name].results[0].clips == 8
