"""Modes of a machine, such as idle and its loads: learned from normal sound, recognised live."""
