"""Sound of a clip inside a page."""

import base64
import io

import numpy as np
import numpy.typing as npt

OPUS_RATES_HZ = frozenset({8000, 12_000, 16_000, 24_000, 48_000})


def audio_data_uri(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> str:
    """Return sound as a ``data:`` address: Opus, or FLAC at rates that Opus does not have.

    Ten seconds are about 40 kB as Opus, 300 kB as FLAC.

    Parameters
    ----------
    samples
        ``(n,)`` in [-1, 1].
    sample_rate_hz
        Sample rate.
    """
    import soundfile

    file = io.BytesIO()
    if sample_rate_hz in OPUS_RATES_HZ:
        soundfile.write(file, samples, sample_rate_hz, format="OGG", subtype="OPUS")
        kind = "audio/ogg"
    else:
        soundfile.write(file, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
        kind = "audio/flac"
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
