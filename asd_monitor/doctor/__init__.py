"""Find out what keeps the monitor from working on this computer."""
