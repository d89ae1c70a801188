"""Audio before the model: files, windows, clips and the quality of a window."""
