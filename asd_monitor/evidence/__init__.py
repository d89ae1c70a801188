"""Evidence of an event: its sound, its picture, and what differs from normal sound."""
