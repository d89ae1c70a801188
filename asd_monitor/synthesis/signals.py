"""Building blocks of synthetic machine sound: shaped noise, ringing, indexed random numbers."""

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]


def shaped_noise(
    rng: np.random.Generator,
    n_samples: int,
    sample_rate_hz: int,
    spectrum: dict[float, float],
) -> DoubleArray:
    """Draw periodic Gaussian noise with a given spectrum and RMS 1.

    Parameters
    ----------
    n_samples
        Length of the noise; the end joins the beginning.
    spectrum
        Power density in dB (up to a constant) at some frequencies in Hz. It is interpolated on a
        logarithmic frequency axis and constant beyond the outermost frequencies.

    Returns
    -------
    ``(n_samples,)`` float64.
    """
    frequency_hz = np.fft.rfftfreq(n_samples, 1.0 / sample_rate_hz)
    corners = np.log(np.array(sorted(spectrum)))
    density_db = np.interp(
        np.log(np.maximum(frequency_hz, 1.0)), corners, [spectrum[f] for f in sorted(spectrum)]
    )
    bins = rng.standard_normal(frequency_hz.size) + 1j * rng.standard_normal(frequency_hz.size)
    bins *= 10.0 ** (density_db / 20.0)
    bins[0] = 0.0
    noise = np.fft.irfft(bins, n_samples)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def ringing(
    sample_rate_hz: int, modes: list[tuple[float, float, float]], duration_s: float
) -> DoubleArray:
    """Compute the response of a struck structure: a sum of decaying modes with a peak of about 1.

    Parameters
    ----------
    modes
        ``(frequency in Hz, time constant of the decay in s, weight)`` of each mode. Modes above
        0.45 of the sampling rate are left out.
    duration_s
        Length; the last fifth is faded out.

    Returns
    -------
    ``(n,)`` float64.
    """
    time_s = np.arange(int(duration_s * sample_rate_hz)) / sample_rate_hz
    sound = np.zeros_like(time_s)
    for frequency_hz, decay_s, weight in modes:
        if frequency_hz < 0.45 * sample_rate_hz:
            sound += weight * np.exp(-time_s / decay_s) * np.sin(2 * np.pi * frequency_hz * time_s)
    fade = np.minimum(1.0, (time_s[-1] - time_s) / (0.2 * duration_s))
    return np.asarray(sound * fade / (np.max(np.abs(sound)) + 1e-12))


def superpose_events(
    n_samples: int,
    starts: npt.NDArray[np.int64],
    gains: DoubleArray,
    template: DoubleArray,
) -> DoubleArray:
    """Return ``(n_samples,)`` with ``template`` added at each sample index in ``starts``."""
    out = np.zeros(n_samples + template.size)
    for start, gain in zip(starts, gains, strict=True):
        if 0 <= start < n_samples:
            out[start : start + template.size] += gain * template
    return out[:n_samples]


def random_unit(seed: int, stream: int, index: npt.NDArray[np.int64]) -> DoubleArray:
    """Return uniform numbers in [0, 1) that are a pure function of ``(seed, stream, index)``.

    They are the mixing function of SplitMix64 (Steele, Lea and Flood, 2014) of the index.
    """
    mixed = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64((seed * 0xD1342543DE82EF95 + stream * 0x632BE59BD9B4E019) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
