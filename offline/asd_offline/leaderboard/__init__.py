"""Merge the results of comparisons from many machines into one leaderboard."""
