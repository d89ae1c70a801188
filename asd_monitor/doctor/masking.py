"""Remove secrets from settings and text before others read them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MASK = "(removed)"
_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase|code)?|secret|token|credential|api_?key|auth(orization)?|private|pin",
    re.IGNORECASE,
)
_NAME_OF_SECRET = re.compile(r"_(file|env|path)$", re.IGNORECASE)
"""Keys that say where a secret is, which is no secret itself."""
_ADDRESSES = frozenset({"notify"})
"""Sections whose addresses contain their secrets, as those of notification services do."""
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*)://([^\s'\"<>]+)")
_PAIR = re.compile(
    r"(?i)\b((?:[\w-]*(?:password|passwd|passphrase|secret|token|api[_-]?key))"
    r"|authorization:\s*\w+)(\s*[=:]\s*|\s+)([^\s'\",;]+)"
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*-----|\Z)", re.S)
MIN_SECRET_LENGTH = 4
MAX_SECRET_BYTES = 4096
"""A larger file than this is no password."""


def mask_settings(values: Any) -> Any:  # noqa: ANN401 - a YAML document
    """Return settings without passwords, tokens, and addresses that contain them."""
    return _mask(values, is_secret=False, is_address=False)


def mask_text(text: str, secrets: frozenset[str] = frozenset()) -> str:
    """Return text without passwords in addresses, and without known secrets.

    Parameters
    ----------
    text
        Such as lines of a log.
    secrets
        Values that are removed wherever they are.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _PRIVATE_KEY.sub(MASK, text)
    text = _URL.sub(lambda match: _mask_url(match[1], match[2]), text)
    return _PAIR.sub(lambda match: f"{match[1]}{match[2]}{MASK}", text)


def find_secrets(values: Any) -> frozenset[str]:  # noqa: ANN401 - a YAML document
    """Return the secret values of settings, so that they can be removed from other text."""
    return frozenset(_secrets(values, is_secret=False, is_address=False))


def read_secrets(values: Any, environ: Mapping[str, str]) -> frozenset[str]:  # noqa: ANN401
    """Return the secrets that settings name: in files (``password_file``) and in the environment.

    Those that cannot be read are left out.
    """
    return frozenset(text for text in _named(values, environ) if len(text) >= MIN_SECRET_LENGTH)


def _named(values: Any, environ: Mapping[str, str]) -> Iterator[str]:  # noqa: ANN401
    if isinstance(values, list):
        for inner in values:
            yield from _named(inner, environ)
    if not isinstance(values, dict):
        return
    for key, inner in values.items():
        name, _, kind = str(key).rpartition("_")
        if not isinstance(inner, str) or not _is_secret(name):
            yield from _named(inner, environ)
        elif kind == "env":
            yield environ.get(inner, "")
        elif kind == "file":
            yield from _read_lines(Path(inner).expanduser(), environ)


def _read_lines(path: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the lines of a file of secrets; a bare name is that of a credential of systemd."""
    folders = [environ[name] for name in ("CREDENTIALS_DIRECTORY",) if name in environ]
    for place in [*(Path(folder) / path for folder in folders), path]:
        try:
            with place.open("rb") as file:
                return file.read(MAX_SECRET_BYTES).decode(errors="replace").split("\n")
        except OSError:
            continue
    return []


def _mask(value: Any, *, is_secret: bool, is_address: bool) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {
            key: _mask(
                inner,
                is_secret=is_secret or _is_secret(str(key)),
                is_address=is_address or str(key) in _ADDRESSES,
            )
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_mask(inner, is_secret=is_secret, is_address=is_address) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if is_secret:
        return MASK
    if isinstance(value, str):
        if is_address and "://" in value:
            return f"{value.partition('://')[0]}://{MASK}"
        return mask_text(value)
    return value


def _secrets(value: Any, *, is_secret: bool, is_address: bool) -> Iterator[str]:  # noqa: ANN401
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _secrets(
                inner,
                is_secret=is_secret or _is_secret(str(key)),
                is_address=is_address or str(key) in _ADDRESSES,
            )
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, is_secret=is_secret, is_address=is_address)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value)
        is_secret = is_secret or (is_address and "://" in text)
        if is_secret and len(text) >= MIN_SECRET_LENGTH:
            yield text
        for match in _URL.finditer(text):
            user, at, _ = match[2].rpartition("@")
            password = user.partition(":")[2]
            if at and len(password) >= MIN_SECRET_LENGTH:
                yield password


def _is_secret(key: str) -> bool:
    return bool(_SECRET_KEY.fullmatch(key.split("_")[-1]) or _SECRET_KEY.fullmatch(key)) or (
        bool(re.search(r"password|secret|token|api_?key", key, re.IGNORECASE))
        and not _NAME_OF_SECRET.search(key)
    )


def _mask_url(scheme: str, rest: str) -> str:
    """Remove user, password, query and fragment of a URL."""
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        authority = f"{MASK}@{authority.rpartition('@')[2]}"
    for mark in "?#":
        before, found, _ = path.partition(mark) if slash else authority.partition(mark)
        if found:
            changed = f"{before}{mark}{MASK}"
            path, authority = (changed, authority) if slash else (path, changed)
    return f"{scheme}://{authority}{slash}{path}"
