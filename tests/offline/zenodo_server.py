"""A local server with the interface of Zenodo that can simulate the failures of real ones."""

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class RecordServer:
    """Files to serve, failures to simulate, and the requests received."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    records: dict[int, list[str]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(path, Range header) of every request for a file."""
    break_after: list[int] = field(default_factory=list)
    """Close the connection after this many bytes, once for each entry."""
    statuses: list[int] = field(default_factory=list)
    """HTTP statuses of the next responses to requests for a file."""
    ignores_range: bool = False
    claims_bytes: int | None = None
    """Content-Length to send, regardless of the content."""
    sends: dict[str, bytes] = field(default_factory=dict)
    """Contents to send instead of those that the record describes."""
    record_text: bytes | None = None
    wrong_range: bool = False
    hold_after: int | None = None
    """Send this many bytes, then nothing until ``release`` is set."""
    release: threading.Event = field(default_factory=threading.Event)

    def add(self, record: int, name: str, content: bytes) -> None:
        self.files[name] = content
        self.records.setdefault(record, []).append(name)

    def record(self, number: int) -> bytes:
        if self.record_text is not None:
            return self.record_text
        entries = [
            {
                "key": name,
                "size": len(self.files[name]),
                "checksum": "md5:" + hashlib.md5(self.files[name]).hexdigest(),  # noqa: S324
                "links": {"self": f"{self.url}/api/records/{number}/files/{name}/content"},
            }
            for name in self.records[number]
        ]
        return json.dumps({"id": number, "files": entries}).encode()


@contextmanager
def serving() -> Iterator[RecordServer]:
    """Serve on a free loopback port until the end of the block."""
    server = RecordServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):  # the client may disconnect early
                respond(self, server)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def respond(handler: BaseHTTPRequestHandler, server: RecordServer) -> None:
    if match := re.fullmatch(r"/api/records/(\d+)", handler.path):
        if int(match[1]) in server.records or server.record_text is not None:
            send(handler, 200, server.record(int(match[1])), {})
        else:
            send(handler, 404, b"{}", {})
        return
    requested_range = handler.headers.get("Range") or ""
    server.requests.append((handler.path, requested_range))
    if server.statuses:
        send(handler, server.statuses.pop(0), b"", {"Retry-After": "1"})
        return
    name = handler.path.split("/")[-2]
    content = server.sends.get(name, server.files[name])
    send_file(handler, server, content, requested_range)


def send_file(
    handler: BaseHTTPRequestHandler, server: RecordServer, content: bytes, requested_range: str
) -> None:
    status, headers = 200, {}
    if requested_range and not server.ignores_range:
        start = int(requested_range.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            send(handler, 416, b"", {})
            return
        first = start - 1 if server.wrong_range else start
        status = 206
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        content = content[start:]
    length = len(content) if server.claims_bytes is None else server.claims_bytes
    if server.break_after:
        content = content[: server.break_after.pop(0)]
    if server.hold_after is not None:
        send(handler, status, content[: server.hold_after], headers, length)
        server.release.wait()
        content = content[server.hold_after :]
        handler.wfile.write(content)
        return
    send(handler, status, content, headers, length)


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    content: bytes,
    headers: Mapping[str, str],
    length: int | None = None,
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    handler.wfile.write(content)


def zipped(members: Mapping[str, bytes] | Iterable[tuple[zipfile.ZipInfo | str, bytes]]) -> bytes:
    """Return a zip archive."""
    pairs = members.items() if isinstance(members, Mapping) else members
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return memory.getvalue()
