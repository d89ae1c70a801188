"""Processes that work for another one."""
