"""Machine-sound datasets made from physical pictures, and faults put into real recordings."""
