"""Anomaly Transformer: association discrepancy and reconstruction error."""
