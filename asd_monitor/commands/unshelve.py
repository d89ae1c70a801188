"""``asd-monitor unshelve``: send notifications about a machine again."""

from asd_monitor.commands.judging_options import (
    MachineArgument,
    Who,
    make_author,
    open_store,
    print_outcome,
)
from asd_monitor.commands.options import StateDir
from asd_monitor.commands.state_options import ConfigFile


def unshelve(
    machine: MachineArgument,
    who: Who = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Send notifications about a machine again: end its shelf or its maintenance.

    Example: `asd-monitor unshelve pump`
    """
    from asd_monitor.judging import actions

    print_outcome(actions.unshelve(open_store(state_dir, config), make_author(who), machine))
