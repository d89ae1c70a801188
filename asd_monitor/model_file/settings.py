"""The settings of model files."""

from pydantic import BaseModel, ConfigDict

from asd_monitor.model_file.keys import PublicKey


class ModelSettings(BaseModel):
    """Whose model files may run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    trusted_keys: tuple[PublicKey, ...] = ()
    """Public keys of makers of model files. If there are any, only files that they or this monitor
    signed are loaded; without any, every file is."""
    allow_older: bool = False
    """Use a file of a trusted maker although a newer one was used from its path before."""
