"""When the limits are fitted again to a growing sample."""

MIN_GROWTH = 1.25
"""The limits are fitted again once the sample is this many times as large ..."""
MAX_INTERVAL_S = 86_400.0
"""... and at least this often while it changes."""


def is_fit_due(blocks: int, fitted_blocks: int, since_s: float) -> bool:
    """Return whether a sample has grown or aged enough since the last fit.

    Parameters
    ----------
    blocks, fitted_blocks
        Number of blocks at present, and at the last fit; 0 before the first one.
    since_s
        Seconds since the last fit.
    """
    return blocks >= MIN_GROWTH * fitted_blocks or since_s >= MAX_INTERVAL_S
