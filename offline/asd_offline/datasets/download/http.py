"""Get files over HTTP that arrive whole or not at all, however often the line breaks."""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from asd_monitor import __version__
from asd_monitor.errors import DatasetError

BLOCK_BYTES = 1 << 18
MOST_ATTEMPTS = 200
"""Limit for a line that always breaks after a little progress."""
_WORTHWHILE_BYTES = 1 << 16
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class Progress(Protocol):
    """What a user sees of a download."""

    def begin(self, name: str, total_bytes: int, have_bytes: int) -> None:
        """One file starts, or starts again, with so much of it there."""

    def advance(self, count_bytes: int) -> None:
        """So much more of it has arrived."""

    def say(self, text: str) -> None:
        """Something to read, one line."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try."""

    attempts: int = 6
    """Failures in a row without progress after which to give up."""
    first_wait_s: float = 1.0
    """Wait after the first failure; it doubles with each that follows."""
    longest_wait_s: float = 60.0
    timeout_s: float = 30.0
    sleep: Callable[[float], None] = time.sleep

    def wait(self, failures: int, asked_s: float) -> None:
        """Wait before the next attempt, longer where the server asks for it."""
        own = self.first_wait_s * 2.0 ** min(failures - 1, 10)
        self.sleep(min(max(own, asked_s), self.longest_wait_s))


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its record describes it."""

    name: str
    size_bytes: int
    md5: str
    """Lower-case hexadecimal digits."""
    url: str


class LineBrokenError(Exception):
    """A failure that may pass; ``asked_s`` is how long the server wants to be left alone."""

    def __init__(self, reason: str, asked_s: float = 0.0) -> None:
        super().__init__(reason)
        self.asked_s = asked_s


def request(url: str, headers: Mapping[str, str], timeout_s: float) -> http.client.HTTPResponse:
    """Open an http(s) address.

    Raises
    ------
    LineBrokenError
        If trying again may help.
    DatasetError
        If it will not: no such page, not allowed, not http.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        msg = f"{url}: expected an address that begins with http:// or https://"
        raise DatasetError(msg)
    agent = {"User-Agent": f"asd-monitor/{__version__}", "Accept-Encoding": "identity"}
    asked = urllib.request.Request(url, headers={**agent, **headers})  # noqa: S310 - checked above
    try:
        response = urllib.request.urlopen(asked, timeout=timeout_s)  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            if error.code in _RETRIED or (error.code == 416 and "Range" in headers):
                after = error.headers.get("Retry-After") or ""
                raise LineBrokenError(
                    f"the server answered {error.code} {error.reason}",
                    float(after) if after.isdecimal() else 0.0,
                ) from error
            msg = f"{url}: the server answered {error.code} {error.reason}"
            raise DatasetError(msg) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error) or type(error).__name__
        raise LineBrokenError(f"no connection ({reason})") from error
    if not isinstance(response, http.client.HTTPResponse):
        msg = f"{url}: led to an address that is not http"
        raise DatasetError(msg)
    return response


def read_text(url: str, patience: Patience, most_bytes: int = 1 << 24) -> bytes:
    """Get a small document, with retries."""
    failures = 0
    while True:
        try:
            with request(url, {"Accept": "application/json"}, patience.timeout_s) as response:
                text = response.read(most_bytes)
                if response.length and len(text) < most_bytes:
                    raise LineBrokenError("the answer was cut off")
                return text
        except (LineBrokenError, OSError, http.client.HTTPException) as error:
            failures += 1
            if failures >= patience.attempts:
                msg = f"{url}: given up after {failures} attempts: {error}; {_ADVICE}"
                raise DatasetError(msg) from error
            patience.wait(failures, getattr(error, "asked_s", 0.0))


_ADVICE = "check the network (HTTPS_PROXY is obeyed) and run the same command again"


def fetch(file: RemoteFile, target: Path, progress: Progress, patience: Patience) -> None:
    """Get a file; what arrived before a break-off is kept in ``<target>.part`` and continued.

    Raises
    ------
    DatasetError
        If the server does not deliver, the checksum is wrong twice, or the disk is full.
    """
    part = target.with_name(f"{target.name}.part")
    for attempt in (1, 2):
        _complete(file, part, progress, patience)
        found = md5_of(part)
        if found == file.md5:
            part.replace(target)
            return
        part.unlink()
        if attempt == 1:
            progress.say(f"{file.name}: the checksum is wrong, trying once more from the start")
    msg = (
        f"{file.url}: expected MD5 {file.md5} as in the record, got {found} twice; "
        "a proxy may change it on the way, or the record may be damaged"
    )
    raise DatasetError(msg)


def md5_of(path: Path) -> str:
    """MD5 of a file, the checksum that records give."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _complete(file: RemoteFile, part: Path, progress: Progress, patience: Patience) -> None:
    """Ask for what is missing until the part has the size of the record."""
    best, failures = 0, 0
    for _ in range(MOST_ATTEMPTS):
        asked_s = 0.0
        if _size(part) > file.size_bytes:
            part.unlink()
        elif part.exists() and _size(part) == file.size_bytes:
            return
        try:
            _continue(file, part, progress, patience.timeout_s)
            reason = f"it ended after {_size(part)} of {file.size_bytes} bytes"
        except LineBrokenError as error:
            reason, asked_s = str(error), error.asked_s
        if _size(part) == file.size_bytes:
            return
        failures = 1 if _size(part) >= best + _WORTHWHILE_BYTES else failures + 1
        best = max(best, _size(part))
        if failures >= patience.attempts:
            break
        progress.say(f"{file.name}: {reason}; trying again")
        patience.wait(failures, asked_s)
    msg = f"{file.url}: given up, {reason}; {_ADVICE}: what has arrived is kept"
    raise DatasetError(msg)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _continue(file: RemoteFile, part: Path, progress: Progress, timeout_s: float) -> None:
    have = _size(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        response = request(file.url, headers, timeout_s)
    except LineBrokenError as error:
        if "416" in str(error):
            part.unlink(missing_ok=True)
        raise
    with response:
        if not (have and _continues_at(response, have)):
            have = 0
        progress.begin(file.name, file.size_bytes, have)
        _append(response, part, have, file, progress)


def _continues_at(response: http.client.HTTPResponse, have: int) -> bool:
    """Whether the answer is the rest; a server may ignore the wish and send all."""
    if response.status != 206:
        return False
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    if match is None or int(match[1]) != have:
        raise LineBrokenError("the server sent another piece than the one asked for")
    return True


def _append(
    response: http.client.HTTPResponse, part: Path, have: int, file: RemoteFile, progress: Progress
) -> None:
    """Write the answer to the part, from byte ``have`` on."""
    try:
        with part.open("ab" if have else "wb") as out:
            for block in _blocks(response):
                have += len(block)
                if have > file.size_bytes:
                    part.unlink()
                    size = file.size_bytes
                    msg = f"{file.url}: the server sends more than the {size} bytes of the record"
                    raise DatasetError(msg)
                out.write(block)
                progress.advance(len(block))
    except OSError as error:
        msg = f"{part}: cannot be written ({error.strerror}); is the disk full?"
        raise DatasetError(msg) from error


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise LineBrokenError(f"the line broke ({error})") from error
        if not block:
            return
        yield block
