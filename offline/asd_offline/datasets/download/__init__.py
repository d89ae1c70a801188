"""Download of official datasets from Zenodo."""
