"""Export of a trained run to the model file that the monitor loads."""
