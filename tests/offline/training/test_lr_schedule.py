"""Learning-rate schedules."""

import pytest
import torch

from asd_offline.models import MODELS
from asd_offline.recipes import Recipe, read_recipe
from asd_offline.training.lr_schedule import lr_factor, make_lr_scheduler
from tests.rig.paths import CONFIGS


def recipe(**values: object) -> Recipe:
    return Recipe.model_validate({"model": "any", "learning_rate": 1e-3, "epochs": 10} | values)


def test_a_constant_rate_does_not_change() -> None:
    assert {lr_factor(recipe(), epoch) for epoch in range(10)} == {1.0}


def test_a_cosine_ends_at_the_final_rate() -> None:
    falling = recipe(schedule="cosine", final_learning_rate=1e-5)
    factors = [lr_factor(falling, epoch) for epoch in range(11)]
    assert factors[0] == 1.0
    assert factors == sorted(factors, reverse=True)
    assert factors[5] == pytest.approx(0.505)
    assert factors[10] == pytest.approx(0.01)


def test_a_schedule_waits_for_its_constant_epochs() -> None:
    waiting = recipe(schedule="cosine", constant_epochs=4)
    assert [lr_factor(waiting, epoch) for epoch in range(5)] == [1.0] * 5
    assert lr_factor(waiting, 7) == pytest.approx(0.5)


def test_halving_halves_each_epoch_down_to_the_final_rate() -> None:
    halving = recipe(schedule="halving", final_learning_rate=2e-4)
    assert [lr_factor(halving, epoch) for epoch in range(4)] == [1.0, 0.5, 0.25, 0.2]


def test_a_longer_cosine_is_cut_off_by_the_end_of_the_training() -> None:
    cut = recipe(schedule="cosine", constant_epochs=4, cosine_epochs=12)
    assert [lr_factor(cut, epoch) for epoch in (4, 7, 10)] == pytest.approx([1.0, 0.853553, 0.5])


def published(model: str, *, file: bool) -> Recipe:
    path = CONFIGS / "train" / f"{model}.yaml" if file else None
    recipe_type: type[Recipe] = MODELS[model].recipe
    return read_recipe(path, model, recipe_type)


@pytest.mark.parametrize("file", [True, False])
def test_the_anomaly_transformer_halves_from_the_third_epoch_on(file: bool) -> None:
    rates = published("anomaly_transformer", file=file)
    assert [lr_factor(rates, epoch) for epoch in range(5)] == [1.0, 1.0, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("file", [True, False])
def test_stgram_has_the_rates_of_a_cosine_of_300_epochs_stepped_from_epoch_20(file: bool) -> None:
    rates = published("stgram_mfn", file=file)
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1e-4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=300, eta_min=1e-5)
    for epoch in range(301):
        expected = optimizer.param_groups[0]["lr"]
        assert rates.learning_rate * lr_factor(rates, epoch) == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        if epoch >= 20:
            cosine.step()
    assert expected == pytest.approx(1.0983e-5, rel=1e-4)  # of the last epoch, 280 of 300 steps


@pytest.mark.parametrize(
    "model",
    [
        "autoencoder",
        "autoencoder_mahalanobis",
        "mobilenetv2",
        "aegan_ad",
        "spectral_adacos",
        "multires_adacos",
    ],
)
def test_the_rate_is_constant_where_the_source_has_no_schedule(model: str) -> None:
    folder = CONFIGS / "train"
    for path in [*folder.glob(f"{model}.yaml"), *(folder / model).glob("*.yaml"), None]:
        assert read_recipe(path, model, MODELS[model].recipe).schedule == "constant"


def test_a_restored_schedule_continues_where_it_was_saved() -> None:
    def new_optimizer() -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
        optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1e-3)
        return optimizer, make_lr_scheduler(recipe(schedule="halving"), optimizer)

    optimizer, schedule = new_optimizer()
    optimizer.step()
    schedule.step()
    other, resumed = new_optimizer()
    other.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    other.step()
    resumed.step()
    assert other.param_groups[0]["lr"] == pytest.approx(2.5e-4)
