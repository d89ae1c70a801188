"""Fixtures that tests of the offline half share."""

from tests.offline.compared_models import compared
from tests.offline.fan_recordings import fans, toy

__all__ = ["compared", "fans", "toy"]
