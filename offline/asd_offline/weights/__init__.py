"""Weights from other files: read without running code, and matched tensor by tensor."""
