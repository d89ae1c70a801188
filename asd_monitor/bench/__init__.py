"""Measure the monitor on this machine: the real command, real files, a real broker."""
