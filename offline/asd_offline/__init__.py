"""Training and evaluation of acoustic anomaly detectors on DCASE Task 2 data and plain recordings."""
