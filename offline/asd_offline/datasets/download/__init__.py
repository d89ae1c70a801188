"""Download of the official archives: resumed, verified and safely unpacked."""
