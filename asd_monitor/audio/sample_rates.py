"""Notes on recordings whose sample rate differs from that of the sound that was learned.

Converting a rate changes the highest frequencies: sound recorded at 48 kHz and converted to 16 kHz
has nothing above 7.8 kHz, sound recorded at 16 kHz has. A model that was learned from one may find
the other abnormal. Rates above the model's own are equivalent, because they are converted alike.
"""

from collections.abc import Iterable, Mapping, Sequence

TRAINING_KEY = "recorded_at_hz"
"""Entry of a model's manifest, in ``training``: the rates of the learned recordings, as recorded.
Absent where they are not known."""

LOWEST_FULL_RATE_HZ = 16_000
"""Learning at a rate up to this is the default, and needs no note where the source's is lower."""

ADVICE = (
    "the conversion changes the highest frequencies, so scores may be too high; learn from sound "
    "of the same rate"
)


def training_entry(rates_hz: Iterable[int | None]) -> dict[str, list[int]]:
    """Return the entry of a manifest's ``training``; nothing if no rate is known."""
    known = sorted({rate_hz for rate_hz in rates_hz if rate_hz})
    return {TRAINING_KEY: known} if known else {}


def learned_rates_hz(training: Mapping[str, object]) -> list[int]:
    """Return the rates that :func:`training_entry` has written; empty if they are not known."""
    values = training.get(TRAINING_KEY)
    return [value for value in values if type(value) is int] if isinstance(values, list) else []


def are_equivalent(rate_hz: int, other_hz: int, model_rate_hz: int) -> bool:
    """Return whether sound of two rates is the same at the model's rate."""
    return rate_hz == other_hz or min(rate_hz, other_hz) > model_rate_hz


def differs(rate_hz: int | None, learned_hz: Sequence[int], model_rate_hz: int) -> bool:
    """Return whether a rate is equivalent to none of those that were learned."""
    return (
        bool(rate_hz and learned_hz)
        and rate_hz is not None
        and not any(are_equivalent(rate_hz, learned, model_rate_hz) for learned in learned_hz)
    )


def describe_difference(rate_hz: int | None, learned_hz: Sequence[int], model_rate_hz: int) -> str:
    """Return a note for the user where a rate differs from the learned ones; else nothing.

    Parameters
    ----------
    rate_hz
        Rate of a recording or a microphone, before it is converted; None if it is not known.
    learned_hz
        Rates of the learned recordings; empty if they are not known.
    model_rate_hz
        Rate at which the model analyses.
    """
    if not differs(rate_hz, learned_hz, model_rate_hz):
        return ""
    return f"recorded at {rate_hz} Hz, learned at {format_rates(learned_hz)}: {ADVICE}"


def describe_mixture(learned_hz: Sequence[int], model_rate_hz: int) -> str:
    """Return a note for the user where the learned rates are not equivalent; else nothing."""
    different = [
        rate_hz
        for rate_hz in learned_hz
        if not are_equivalent(rate_hz, learned_hz[0], model_rate_hz)
    ]
    if not different:
        return ""
    return (
        f"learned from recordings at {format_rates(learned_hz)}: the conversion changes the "
        "highest frequencies, so faults there may be missed; learn from one rate"
    )


def describe_missing_band(learned_hz: Sequence[int], model_rate_hz: int) -> str:
    """Return a note for the user where learned sound ends below the model's band; else nothing."""
    lowest_hz = min(learned_hz, default=model_rate_hz)
    if lowest_hz >= model_rate_hz or model_rate_hz <= LOWEST_FULL_RATE_HZ:
        return ""
    return (
        f"learned at {model_rate_hz} Hz from sound at {lowest_hz} Hz, which has nothing above "
        f"{lowest_hz / 2000:g} kHz: learn at {lowest_hz} Hz, or use a microphone of a higher rate"
    )


def describe_differences(
    rates_hz: Sequence[int], learned_hz: Sequence[int], model_rate_hz: int, what: str
) -> list[str]:
    """Return a note for the user if some of several recordings differ; else nothing.

    Parameters
    ----------
    rates_hz
        Rate of each recording.
    learned_hz, model_rate_hz
        As for :func:`describe_difference`.
    what
        What the recordings are called.
    """
    different = [rate for rate in rates_hz if differs(rate, learned_hz, model_rate_hz)]
    if not different:
        return []
    return [
        f"{len(different)} of {len(rates_hz)} {what} were recorded at "
        f"{format_rates(sorted(set(different)))}, the learned ones at "
        f"{format_rates(learned_hz)}: {ADVICE}"
    ]


def format_rates(rates_hz: Sequence[int]) -> str:
    """Return rates as ``16000 and 48000 Hz``."""
    *others, last = map(str, rates_hz)
    return f"{', '.join(others)} and {last} Hz" if others else f"{last} Hz"
