"""Evaluation: scores to metrics, the challenge's official scores and its CSV files."""
