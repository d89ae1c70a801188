"""Download files over HTTP, resumed after failures and verified by size and checksum."""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from asd_monitor import __version__
from asd_monitor.errors import DatasetError
from asd_monitor.progress import Progress

BLOCK_BYTES = 1 << 18
MAX_REQUESTS = 200
"""Limit for a connection that always fails after a little progress."""
MIN_PROGRESS_BYTES = 1 << 16
"""A request that adds less counts as a failure like the one before it."""
_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_HTML = (b"<!doctype html", b"<html", b"<head", b"<!--")
_BLANK = b"\xef\xbb\xbf \t\r\n"
"""Byte-order mark and blanks, which may precede HTML."""
_HINT = "check the network (HTTPS_PROXY is respected) and run the same command again"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to repeat a failed request, and when to give up."""

    max_attempts: int = 6
    """Consecutive failures without progress after which to give up."""
    first_wait_s: float = 1.0
    """Wait after the first failure; it doubles with each further one."""
    max_wait_s: float = 60.0
    timeout_s: float = 30.0
    """Timeout of a request."""
    sleep: Callable[[float], None] = time.sleep

    def wait(self, failures: int, retry_after_s: float) -> None:
        """Wait before the next attempt, for longer if the server asks for it."""
        backoff_s = self.first_wait_s * 2.0 ** min(failures - 1, 10)
        self.sleep(min(max(backoff_s, retry_after_s), self.max_wait_s))


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its record describes it."""

    name: str
    size_bytes: int
    md5: str
    """Lower-case hexadecimal digits."""
    url: str


class TransientHTTPError(Exception):
    """A failure that may not occur when the request is repeated.

    Parameters
    ----------
    reason
        What failed.
    status
        HTTP status of the response; None if there was none.
    retry_after_s
        Seconds that the server asks to wait.
    """

    def __init__(self, reason: str, status: int | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_s = retry_after_s


def request(url: str, headers: Mapping[str, str], timeout_s: float) -> http.client.HTTPResponse:
    """Open an HTTP or HTTPS address.

    Raises
    ------
    TransientHTTPError
        If repeating the request may help.
    DatasetError
        If it will not: no such page, not allowed, not HTTP.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        msg = f"{url}: expected an address that begins with http:// or https://"
        raise DatasetError(msg)
    agent = {"User-Agent": f"asd-monitor/{__version__}", "Accept-Encoding": "identity"}
    query = urllib.request.Request(url, headers={**agent, **headers})  # noqa: S310 - checked above
    try:
        response = urllib.request.urlopen(query, timeout=timeout_s)  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            reason = f"the server answered {error.code} {error.reason}"
            invalid_range = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            if error.code in _TRANSIENT_STATUS or (
                error.code == invalid_range and "Range" in headers
            ):
                after = error.headers.get("Retry-After") or ""
                retry_after_s = float(after) if after.isdecimal() else 0.0
                raise TransientHTTPError(reason, error.code, retry_after_s) from error
            raise DatasetError(f"{url}: {reason}") from error
    except (OSError, http.client.HTTPException) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise TransientHTTPError(f"no connection ({str(cause) or type(error).__name__})") from error
    if not isinstance(response, http.client.HTTPResponse):
        msg = f"{url}: redirected to an address that is not HTTP"
        raise DatasetError(msg)
    return response


def read_document(url: str, retry: RetryPolicy, max_bytes: int = 1 << 24) -> bytes:
    """Download a small document, with retries.

    Raises
    ------
    DatasetError
        If the server does not deliver it.
    """
    failures = 0
    while True:
        try:
            with request(url, {"Accept": "application/json"}, retry.timeout_s) as response:
                document = _read(response, max_bytes)
                if response.length and len(document) < max_bytes:
                    raise TransientHTTPError("the response was incomplete")
                return document
        except TransientHTTPError as error:
            failures += 1
            if failures >= retry.max_attempts:
                msg = f"{url}: gave up after {failures} attempts: {error}; {_HINT}"
                raise DatasetError(msg) from error
            retry.wait(failures, error.retry_after_s)


def refuse_web_page(start: bytes, url: str) -> None:
    """Raise DatasetError if data begin like HTML: a proxy's page, or that of a login."""
    if start.lstrip(_BLANK).lower().startswith(_HTML):
        msg = (
            f"{url}: the answer is a web page (HTML) instead of the requested data; a proxy, a "
            "login page or a firewall answers in the server's place: open the address in a "
            "browser, and check HTTPS_PROXY"
        )
        raise DatasetError(msg)


def fetch(file: RemoteFile, target: Path, progress: Progress, retry: RetryPolicy) -> None:
    """Download a file; bytes received before a failure stay in ``<target>.part`` for resuming.

    Raises
    ------
    DatasetError
        If the server does not deliver it, the checksum is wrong twice, or the disk is full.
    """
    part = target.with_name(f"{target.name}.part")
    for attempt in (1, 2):
        _download(file, part, progress, retry)
        found = md5_of(part)
        if found == file.md5:
            part.replace(target)
            return
        part.unlink()
        if attempt == 1:
            progress.message(f"{file.name}: the checksum is wrong, downloading it again")
    msg = (
        f"{file.url}: expected MD5 {file.md5} as in the record, got {found} twice; "
        "a proxy may alter the file, or the record may be damaged"
    )
    raise DatasetError(msg)


def md5_of(path: Path) -> str:
    """Compute the MD5 of a file, the checksum that records give."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(file: RemoteFile, part: Path, progress: Progress, retry: RetryPolicy) -> None:
    """Request the missing bytes until the part has the size of the record."""
    most, failures = 0, 0
    for _ in range(MAX_REQUESTS):
        if _size(part) > file.size_bytes:
            part.unlink()
        elif part.exists() and _size(part) == file.size_bytes:
            return
        retry_after_s = 0.0
        try:
            _request_rest(file, part, progress, retry.timeout_s)
            reason = f"it ended after {_size(part)} of {file.size_bytes} bytes"
        except TransientHTTPError as error:
            reason, retry_after_s = str(error), error.retry_after_s
        if _size(part) == file.size_bytes:
            return
        failures = 1 if _size(part) >= most + MIN_PROGRESS_BYTES else failures + 1
        most = max(most, _size(part))
        if failures >= retry.max_attempts:
            break
        progress.message(f"{file.name}: {reason}; retrying")
        retry.wait(failures, retry_after_s)
    msg = f"{file.url}: gave up, {reason}; {_HINT}: received data is kept"
    raise DatasetError(msg)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _request_rest(file: RemoteFile, part: Path, progress: Progress, timeout_s: float) -> None:
    offset = _size(part)
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    try:
        response = request(file.url, headers, timeout_s)
    except TransientHTTPError as error:
        if error.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        raise
    with response:
        if not (offset and _starts_at(response, offset)):
            offset = 0
        progress.update(file.name, offset, file.size_bytes)
        _append(response, part, offset, file, progress)


def _starts_at(response: http.client.HTTPResponse, offset: int) -> bool:
    """Return whether the response is the rest of the file; a server may send all of it instead."""
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return False
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    if match is None or int(match[1]) != offset:
        raise TransientHTTPError("the server sent another range than the requested one")
    return True


def _append(
    response: http.client.HTTPResponse,
    part: Path,
    offset: int,
    file: RemoteFile,
    progress: Progress,
) -> None:
    """Write the response to the part, from byte ``offset`` on."""
    try:
        with part.open("ab" if offset else "wb") as out:
            while block := _read(response, BLOCK_BYTES):
                if not offset:
                    refuse_web_page(block, file.url)
                offset += len(block)
                if offset > file.size_bytes:
                    part.unlink()
                    size = file.size_bytes
                    msg = f"{file.url}: the server sends more than the {size} bytes of the record"
                    raise DatasetError(msg)
                out.write(block)
                progress.update(file.name, offset, file.size_bytes)
    except OSError as error:
        msg = f"{part}: cannot be written ({error.strerror}); is the disk full?"
        raise DatasetError(msg) from error


def _read(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    try:
        return response.read(max_bytes)
    except (OSError, http.client.HTTPException) as error:
        raise TransientHTTPError(f"connection lost ({error})") from error
