"""Layouts: one file per way in which a dataset arranges and names its recordings."""
