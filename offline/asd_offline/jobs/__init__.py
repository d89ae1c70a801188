"""Independent jobs: a process pool, file locks and workers that end with their parent."""
