"""Independent jobs: a process pool, result files, and workers that exit with their parent."""
