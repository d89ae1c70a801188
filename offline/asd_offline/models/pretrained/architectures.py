"""Facts about the published audio transformers that are supported, and their files."""

from dataclasses import dataclass

from asd_offline.models.pretrained.spectrograms import (
    FRAME_HOP_SAMPLES,
    FRAME_SAMPLES,
    PATCH,
    SAMPLE_RATE_HZ,
)


@dataclass(frozen=True)
class Architecture:
    """Facts about one kind of published network and its files."""

    prefix: str
    """Of its published tensor names."""
    signature: str
    """Name of a tensor without the prefix; with the shape of the patches, no other has it."""
    patches: str
    """Name of the tensor that projects patches, without the prefix."""
    ignored: tuple[str, ...]
    """Prefixes of tensors that only serve classification, without ``prefix``."""
    first_frame_samples: int
    """Samples needed for the first spectrogram frame."""
    drops_partial_patch: bool
    """Whether frames that do not fill a patch are dropped; otherwise they are padded."""
    mel_bands: int
    min_hz: float
    max_hz: float = 8000.0
    patch_bands: int = PATCH
    patch_frames: int = PATCH

    @property
    def patch_hop_s(self) -> float:
        """Seconds from one patch to the next."""
        return self.patch_frames * FRAME_HOP_SAMPLES / SAMPLE_RATE_HZ

    def min_samples(self, patches: int) -> int:
        """Return the smallest number of samples that yields ``patches`` patches in time."""
        size = self.patch_frames
        frames = size * patches if self.drops_partial_patch else size * (patches - 1) + 1
        return self.first_frame_samples + (frames - 1) * FRAME_HOP_SAMPLES


ARCHITECTURES = {
    "beats": Architecture(
        prefix="",
        signature="encoder.pos_conv.0.weight_g",
        patches="patch_embedding.weight",
        ignored=("predictor.",),
        first_frame_samples=FRAME_SAMPLES,
        drops_partial_patch=True,
        mel_bands=128,
        min_hz=20.0,
    ),
    "ced": Architecture(
        prefix="encoder.",
        signature="time_pos_embed",
        patches="patch_embed.proj.weight",
        ignored=("outputlayer.", "front_end."),
        first_frame_samples=0,
        drops_partial_patch=True,
        mel_bands=64,
        min_hz=0.0,
    ),
    "dasheng": Architecture(
        prefix="encoder.",
        signature="time_pos_embed",
        patches="patch_embed.proj.weight",
        ignored=("outputlayer.", "front_end."),
        first_frame_samples=0,
        drops_partial_patch=True,
        mel_bands=64,
        min_hz=0.0,
        patch_bands=64,
        patch_frames=4,
    ),
    "eat": Architecture(
        prefix="model.",
        signature="local_encoder.proj.weight",
        patches="local_encoder.proj.weight",
        ignored=("fc_norm.", "head."),
        first_frame_samples=FRAME_SAMPLES,
        drops_partial_patch=False,
        mel_bands=128,
        min_hz=20.0,
    ),
}
