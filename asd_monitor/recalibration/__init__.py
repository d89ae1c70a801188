"""Normal sound of monitoring that extends the calibration, and its slow drift."""
