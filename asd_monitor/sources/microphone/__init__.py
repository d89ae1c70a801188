"""A microphone: one capture process per device, and its reader in the monitor."""
