"""Sign what is learned here."""

import logging

from asd_monitor.errors import ModelFileError, StateError
from asd_monitor.model_file.keys import own_key
from asd_monitor.model_file.made_here import note_made
from asd_monitor.model_file.signature import sign
from asd_monitor.runtime.state_dir import StateFolder

logger = logging.getLogger(__name__)


def sign_own(state: StateFolder, content: bytes) -> bytes:
    """Return the content of a model file that was learned here, signed with the monitor's key.

    Without a key that can be read or made, it is returned as it is.
    """
    try:
        state.make(state.root)
        signed = sign(content, own_key(state.root))
    except (ModelFileError, StateError) as error:
        logger.warning("the model cannot be signed: %s", error)
        return content
    note_made(signed)
    return signed
