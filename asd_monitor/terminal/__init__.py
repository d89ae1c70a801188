"""What the terminal shows: the live view and log lines."""
