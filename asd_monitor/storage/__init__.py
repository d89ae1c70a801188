"""Files that survive a power failure, and that only their owner can read."""
