"""Passing sounds that are no faults of a machine: speech, a vehicle, a few impacts."""
