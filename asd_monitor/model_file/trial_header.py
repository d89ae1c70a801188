"""What goes before each file that is sent to the process of a trial."""

import struct

HEADER = struct.Struct("<QQQH")
"""Bytes of the file, bytes of memory it may take, seconds of processor time, bytes of its path."""
