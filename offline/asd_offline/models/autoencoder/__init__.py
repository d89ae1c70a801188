"""The DCASE baseline autoencoders: mean squared error and Mahalanobis scores."""
