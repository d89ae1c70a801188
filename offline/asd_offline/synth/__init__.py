"""Machine-sound datasets from simple physical models, and faults added to real recordings."""
