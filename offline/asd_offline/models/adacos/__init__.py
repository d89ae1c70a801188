"""Embedding models trained with AdaCos, and the features scored alongside them."""
