"""The commands of the command line, one per file; heavy imports stay inside the functions."""
