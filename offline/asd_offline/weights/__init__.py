"""Weight files: reading them safely, and matching their tensors with a network."""
