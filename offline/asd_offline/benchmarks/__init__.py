"""Benchmarks whose results docs/benchmarks.md reports; each module is a program."""
