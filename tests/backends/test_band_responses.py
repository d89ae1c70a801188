"""Responses of bands keep what a faint steady fault changes, and its direction."""

import pytest
import torch
from torch import Tensor

from asd_monitor.backends.band_responses import (
    MARGIN,
    BandResponses,
    fit_band_responses,
    response_bands,
)
from asd_monitor.model_file import script

DIMS, BLOCKS, PER_BLOCK = 32, 24, 5
WINDOWS = torch.arange(BLOCKS * PER_BLOCK)


def normal(seed: int) -> Tensor:
    """Return windows in blocks, which differ from each other by a tilt of the spectrum."""
    generator = torch.Generator().manual_seed(seed)
    tilt = torch.randn(BLOCKS, 1, generator=generator).repeat_interleave(PER_BLOCK, 0)
    noise = torch.randn(len(WINDOWS), DIMS, generator=generator)
    return 0.3 * noise + 0.3 * tilt * torch.linspace(-1, 1, DIMS)


@pytest.fixture(scope="module")
def fitted() -> tuple[BandResponses, Tensor]:
    blocks = WINDOWS // PER_BLOCK
    return fit_band_responses(normal(0), blocks, blocks)


def block_means(responses: Tensor) -> Tensor:
    return responses.reshape(BLOCKS, PER_BLOCK, -1).mean(1)


def test_blocks_of_normal_sound_respond_by_a_standard_deviation(
    fitted: tuple[BandResponses, Tensor],
) -> None:
    responses, held_out = fitted
    count = 2 * len(response_bands(DIMS))
    assert held_out.shape == (len(WINDOWS), count)
    rms = block_means(held_out).square().mean(0).sqrt()
    assert torch.allclose(rms, torch.ones(count), atol=1e-3)
    unseen = block_means(responses(normal(1))).square().mean().sqrt()
    assert 0.6 / MARGIN < float(unseen) < 1.5 / MARGIN


def test_a_faint_rise_and_a_faint_gap_respond_in_their_own_direction(
    fitted: tuple[BandResponses, Tensor],
) -> None:
    responses, _ = fitted
    bands = response_bands(DIMS)
    number = bands.index((8, 11))
    for direction, column in ((1.0, number), (-1.0, len(bands) + number)):
        faulty = normal(1)
        faulty[:, 8:12] += 0.5 * direction
        means = block_means(responses(faulty))
        assert int(means.mean(0).argmax()) == column
        assert float(means[:, column].mean()) > 2.0


def test_held_out_responses_are_those_of_filters_without_their_fold() -> None:
    blocks = WINDOWS // PER_BLOCK
    odd = normal(0)
    odd[:PER_BLOCK, 20:24] += 5.0  # one block
    _, held_out = fit_band_responses(odd, blocks, blocks)
    responses, _ = fit_band_responses(odd, blocks, blocks)
    column = response_bands(DIMS).index((20, 23))
    assert held_out[:PER_BLOCK, column].mean() > MARGIN * responses(odd)[:PER_BLOCK, column].mean()


def test_a_script_gives_the_same_responses(fitted: tuple[BandResponses, Tensor]) -> None:
    responses, _ = fitted
    vectors = normal(2)
    assert torch.equal(script(responses)(vectors), responses(vectors))
