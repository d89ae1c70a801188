"""The running daemon: pipelines, threads, commissioning, signals and systemd."""
