"""Settings and fixtures of all tests."""

import signal

from hypothesis import settings

from tests.rig.scheduling import pytest_collection_modifyitems, pytest_xdist_make_scheduler
from tests.rig.virtual_microphone import virtual_microphone_plugin, virtual_microphones

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_xdist_make_scheduler",
    "virtual_microphone_plugin",
    "virtual_microphones",
]

# Computers that run the tests are shared: the time of an example says nothing about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell's background jobs ignore Ctrl-C, and those of nohup a hangup; the programs that tests
# interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
