"""Learning-rate schedules."""

import pytest
import torch

from asd_offline.recipes import Recipe
from asd_offline.training.lr_schedule import lr_factor, make_lr_scheduler


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
