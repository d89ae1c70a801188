"""Scoring back ends: from feature vectors of normal sound to a scriptable scoring module."""
