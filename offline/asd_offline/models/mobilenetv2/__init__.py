"""The DCASE MobileNetV2 baseline: classification of machine ids."""
