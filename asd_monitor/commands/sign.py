"""``asd-monitor sign``: sign model files, so that monitors can verify who made them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.options import StateDir
from asd_monitor.storage.private import keep_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="MODEL", help="The model files to sign.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="File with the private key. By default the key of the state folder, which signs "
            "what is learned there.",
        ),
    ] = None,
    new_key: Annotated[
        Path | None,
        typer.Option("--new-key", metavar="FILE", help="Make a private key and write it there."),
    ] = None,
    show_key: Annotated[
        bool,
        typer.Option("--show-key", help="Print the public key that belongs to the private one."),
    ] = False,
    state_dir: StateDir = None,
) -> None:
    """Sign model files with an Ed25519 key.

    A signature states that the owner of the key vouches for the file, which is a program. A monitor
    whose configuration lists public keys in `models.trusted_keys` loads only files that are signed
    with one of them, or that it learned itself. The file is replaced by the signed one; an earlier
    signature is replaced too. Its checksums and its code are verified first, and nothing in it is
    run.

    Keep the private key where only you can read it: anyone who has it can run programs on every
    monitor that trusts it.

    Example: `asd-monitor sign --new-key plant.pem`, then
    `asd-monitor sign pump.asd --key plant.pem`
    """
    from asd_monitor.errors import ConfigError
    from asd_monitor.model_file.keys import create_key, public_key

    keep_private()
    if sum((bool(files), new_key is not None, show_key)) != 1:
        raise ConfigError("expected model files to sign, or --new-key, or --show-key")
    if new_key is not None:
        typer.echo(f"wrote {new_key}; keep it secret. Its public key:", err=True)
        typer.echo(public_key(create_key(new_key)))
        return
    private = _find_key(key, state_dir)
    if show_key:
        typer.echo(public_key(private))
        return
    for path in files or []:
        _sign_file(path, private)
        typer.echo(f"signed {path} with {public_key(private)}", err=True)


def _find_key(key: Path | None, state_dir: Path | None) -> "Ed25519PrivateKey":
    from asd_monitor.commands.state_options import find_state
    from asd_monitor.model_file.keys import own_key, read_key

    if key is not None:
        return read_key(key)
    state = find_state(state_dir, None)
    return own_key(state.make(state.root))


def _sign_file(path: Path, key: "Ed25519PrivateKey") -> None:
    from asd_monitor.model_file.admission import verify_content
    from asd_monitor.model_file.archive import read_bytes, write_atomically
    from asd_monitor.model_file.signature import sign as sign_content

    content = read_bytes(path)
    verify_content(content, path)
    write_atomically(path, sign_content(content, key))
