"""Diagnose why the monitor does not work on this computer."""
