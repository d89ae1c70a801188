"""``asd-monitor access``: who may use the web page and its API."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import StateDir
from asd_monitor.errors import ConfigError

if TYPE_CHECKING:
    from asd_monitor.web.access_store import AccessStore

MAX_INPUT = 1000
"""Characters read from stdin as a password."""


def access(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Account or token to create, change or remove.",
            show_default=False,
        ),
    ] = None,
    role: Annotated[
        str,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="`viewer` may look and listen, `operator` also judges events, `admin` also "
            "changes settings.",
        ),
    ] = "admin",
    token: Annotated[
        bool,
        typer.Option(
            "--token", help="Create a token for a program that uses the API, and print it."
        ),
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the account or token.")] = False,
    state_dir: StateDir = None,
) -> None:
    """List, create and remove the accounts of the web page and the tokens of its API.

    Without a name, accounts and tokens are listed. The password of an account is asked for, or
    read from stdin. A running monitor uses the new accounts at once.

    Example: `asd-monitor access anna --role operator`
    """
    import os

    from asd_monitor.runtime.state_dir import StateFolder
    from asd_monitor.web.access_store import FILE_NAME, AccessStore, Role

    state = StateFolder.locate(state_dir, os.environ)
    path = state.make(state.root) / FILE_NAME
    store = AccessStore(path)
    try:
        if name is None:
            _print_list(store, path)
        elif remove:
            if not store.remove(name):
                raise ConfigError(f"there is no account or token {name!r} in {path}")
        elif token:
            typer.echo(store.create_token(name, Role.parse(role)))
        else:
            store.set_account(name, _read_password(name), Role.parse(role))
            sys.stderr.write(f"{name} can sign in now\n")
    finally:
        store.close()


def _print_list(store: "AccessStore", path: Path) -> None:
    accounts, tokens = store.accounts(), store.tokens()
    for kind, roles in (("account", accounts), ("token", tokens)):
        for name, role in roles.items():
            typer.echo(f"{kind}\t{role.label}\t{name}")
    if not accounts:
        sys.stderr.write(
            f"no accounts in {path}: on this computer, the web page needs no password; "
            "on others, it is not served\n"
        )


def _read_password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline(MAX_INPUT).rstrip("\r\n")
    password: str = typer.prompt(
        f"Password for {name}", hide_input=True, confirmation_prompt="The same password again"
    )
    return password
