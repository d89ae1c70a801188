"""AEGAN-AD: an autoencoding generative adversarial network and its nineteen scores."""
