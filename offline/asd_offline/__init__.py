"""Training and evaluation of acoustic anomaly detectors on DCASE data and recordings."""
