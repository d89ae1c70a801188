"""Output on the terminal: live view, progress and log lines."""
