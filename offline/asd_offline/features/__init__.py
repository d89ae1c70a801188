"""Features: front ends, their cache, and training windows with labels and targets."""
