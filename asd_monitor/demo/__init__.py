"""The demo: a simulated pump that is learned, fails and recovers."""
