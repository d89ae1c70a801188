"""Features: front ends, their cache, and the labels and targets of training windows."""
