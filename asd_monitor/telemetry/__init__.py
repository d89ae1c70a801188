"""What the monitor reports about itself: its Prometheus series and a snapshot of its status."""
