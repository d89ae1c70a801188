"""Benchmarks that anyone can run again: each has a ``main``."""
