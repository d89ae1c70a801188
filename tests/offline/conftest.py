"""What tests of the offline half share."""

from tests.offline.compared_models import compared

__all__ = ["compared"]
