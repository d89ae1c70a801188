"""List the files of a Zenodo record with their sizes and checksums."""

import json
import re
from typing import Any
from urllib.parse import quote, urlsplit

from asd_monitor.errors import DatasetError
from asd_offline.datasets.download.http import (
    RemoteFile,
    RetryPolicy,
    read_document,
    refuse_web_page,
)

SERVER = "https://zenodo.org"


def read_record(number: int, server: str, retry: RetryPolicy) -> dict[str, RemoteFile]:
    """Return a record's files by name.

    Raises
    ------
    DatasetError
        If the record is not available, or not in the form that Zenodo documents.
    """
    url = f"{server.rstrip('/')}/api/records/{number}"
    try:
        document = read_document(url, retry)
        refuse_web_page(document, url)
        record = json.loads(document)
        files = record["files"]
        entries = list(files["entries"].values()) if isinstance(files, dict) else files
        found = [_remote_file(entry, server, number) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{url}: expected a record with files, their sizes and MD5 checksums: {error!r}"
        raise DatasetError(msg) from error
    return {file.name: file for file in found}


def _remote_file(entry: dict[str, Any], server: str, number: int) -> RemoteFile:
    name, size = entry["key"], entry["size"]
    kind, _, digits = entry["checksum"].partition(":")
    if kind != "md5" or not re.fullmatch(r"[0-9a-f]{32}", digits):
        msg = f"checksum of {name!r} is {entry['checksum']!r}"
        raise ValueError(msg)
    if not isinstance(size, int) or size <= 0 or not re.fullmatch(r"\w[\w.+-]*", name, re.ASCII):
        msg = f"file {name!r} of {size!r} bytes"
        raise ValueError(msg)
    links = entry.get("links", {})
    fallback = f"{server.rstrip('/')}/records/{number}/files/{quote(name)}?download=1"
    url = str(links.get("content") or links.get("self") or fallback)
    if urlsplit(url).scheme != urlsplit(server).scheme:
        url = fallback
    return RemoteFile(name, size, digits, url)
