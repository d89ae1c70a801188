"""Measure the monitor on this computer: the real command, real files, a real broker."""
