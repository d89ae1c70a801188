"""Find out what keeps the monitor from working on this machine, one check per file."""
