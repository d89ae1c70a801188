"""From windows to decisions: scores, the alarm's states and verdicts."""
