"""A local server with the interface of Zenodo, which can be told to fail as real ones do."""

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
    """What is served, how, and what was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    records: dict[int, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(path, Range header) of every request for a file."""
    break_after: list[int] = field(default_factory=list)
    """Break off after so many bytes, once for each entry."""
    statuses: list[int] = field(default_factory=list)
    """Answer the next requests for a file with these."""
    ignores_range: bool = False
    claims_bytes: int | None = None
    """Content-Length to claim whatever is sent."""
    sends: dict[str, bytes] = field(default_factory=dict)
    """Contents to send in place of those that the record describes."""
    record_text: bytes | None = None
    wrong_range: bool = False
    hold_after: int | None = None
    """Send so many bytes, then nothing until ``release`` is set."""
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
    """Serve on a free port of the loopback until the end of the block."""
    server = RecordServer()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):  # the client may leave before the end
                answer(self, server)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def answer(asked: BaseHTTPRequestHandler, server: RecordServer) -> None:
    if match := re.fullmatch(r"/api/records/(\d+)", asked.path):
        if int(match[1]) in server.records or server.record_text is not None:
            send(asked, 200, server.record(int(match[1])), {})
        else:
            send(asked, 404, b"{}", {})
        return
    wish = asked.headers.get("Range") or ""
    server.asked.append((asked.path, wish))
    if server.statuses:
        send(asked, server.statuses.pop(0), b"", {"Retry-After": "1"})
        return
    name = asked.path.split("/")[-2]
    content = server.sends.get(name, server.files[name])
    send_file(asked, server, content, wish)


def send_file(
    asked: BaseHTTPRequestHandler, server: RecordServer, content: bytes, wish: str
) -> None:
    status, headers = 200, {}
    if wish and not server.ignores_range:
        start = int(wish.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            send(asked, 416, b"", {})
            return
        told = start - 1 if server.wrong_range else start
        status = 206
        headers["Content-Range"] = f"bytes {told}-{len(content) - 1}/{len(content)}"
        content = content[start:]
    length = len(content) if server.claims_bytes is None else server.claims_bytes
    if server.break_after:
        content = content[: server.break_after.pop(0)]
    if server.hold_after is not None:
        send(asked, status, content[: server.hold_after], headers, length)
        server.release.wait()
        content = content[server.hold_after :]
        asked.wfile.write(content)
        return
    send(asked, status, content, headers, length)


def send(
    asked: BaseHTTPRequestHandler,
    status: int,
    content: bytes,
    headers: Mapping[str, str],
    length: int | None = None,
) -> None:
    asked.send_response(status)
    for name, value in headers.items():
        asked.send_header(name, value)
    asked.send_header("Content-Length", str(len(content) if length is None else length))
    asked.end_headers()
    asked.wfile.write(content)


def zipped(members: Mapping[str, bytes] | Iterable[tuple[zipfile.ZipInfo | str, bytes]]) -> bytes:
    """A zip archive in memory."""
    pairs = members.items() if isinstance(members, Mapping) else members
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return memory.getvalue()
