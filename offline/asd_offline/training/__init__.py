"""Training: from a recipe and clips to a run folder with checkpoints."""
