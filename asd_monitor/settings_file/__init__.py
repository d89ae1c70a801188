"""Read and validate YAML settings; errors name the file, the line and the key."""

from asd_monitor.settings_file.document import (
    Document,
    KeyPath,
    format_key_path,
    format_yaml,
    merge,
    parse,
    read,
)
from asd_monitor.settings_file.fields import Name, OnOff, SettingsPath, is_off
from asd_monitor.settings_file.validation import mask_credentials, validate

__all__ = [
    "Document",
    "KeyPath",
    "Name",
    "OnOff",
    "SettingsPath",
    "format_key_path",
    "format_yaml",
    "is_off",
    "mask_credentials",
    "merge",
    "parse",
    "read",
    "validate",
]
