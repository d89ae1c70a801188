"""Synthetic sound: signals, and models of machine faults. Depends on numpy only."""
