"""Levels of sound in frequency bands, and the statistics of a machine's normal sound."""
