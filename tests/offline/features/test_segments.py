"""Segments of spectrograms: cutting, and averaging where they overlap."""

import pytest
import torch

from asd_monitor.errors import ConfigError
from asd_offline.features.cache import ClipRows
from asd_offline.features.segments import (
    check_window,
    clip_segments,
    overlap_mean,
    segment_starts,
    starts_within,
)
from asd_offline.models.aegan_ad.recipe import AeganAdRecipe
from tests.offline.network_checks import noise


@pytest.mark.parametrize(("all_frames", "hop"), [(10, 3), (11, 3), (4, 1), (25, 4)])
def test_segments_cover_every_frame_and_average_to_the_spectrogram(
    all_frames: int, hop: int
) -> None:
    spectrogram = noise(2, all_frames, 5)
    segments, starts = clip_segments(spectrogram, 4, hop)
    assert int(starts[-1]) == all_frames - 4
    torch.testing.assert_close(overlap_mean(segments, starts, all_frames), spectrogram)


def test_overlapping_segments_are_averaged() -> None:
    segments = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1).expand(1, 2, 2, 1)
    mean = overlap_mean(segments, torch.tensor([0, 1]), 3)
    assert mean.flatten().tolist() == [1.0, 2.0, 3.0]


def test_segments_do_not_cross_clips() -> None:
    clips = ClipRows(torch.zeros(30, 2), torch.tensor([0, 10, 13]), torch.tensor([10, 3, 17]))
    starts = segment_starts(clips, 8, 4).tolist()
    assert starts == [0, 2, 13, 17, 21, 22]
    assert starts_within(8, 8, 4).tolist() == [0]


def test_windows_shorter_than_a_segment_are_refused() -> None:
    recipe = AeganAdRecipe(window_s=2.0)
    with pytest.raises(ConfigError, match=r"at least 128 frames \(4\.064 s\), found 63 \(2 s\)"):
        check_window(128, 512, recipe)
