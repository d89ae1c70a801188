"""HTTP requests byte by byte, as no browser would send them."""

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass

TIMEOUT_S = 120.0


@dataclass
class Answer:
    """A response as it arrived."""

    raw: bytes

    @property
    def status(self) -> int:
        """Status code; 0 if the connection was closed without a response."""
        return int(self.raw.split(b" ", 2)[1]) if self.raw.startswith(b"HTTP/1.1 ") else 0

    @property
    def headers(self) -> dict[str, str]:
        """Headers by their names in lower case."""
        head = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1")
        pairs = (line.partition(": ") for line in head.split("\r\n")[1:])
        return {name.lower(): value for name, _, value in pairs}

    @property
    def body(self) -> bytes:
        """What follows the headers."""
        return self.raw.partition(b"\r\n\r\n")[2]


def connect(port: int, tls: ssl.SSLContext | None = None) -> socket.socket:
    """Return a connection to a server of this computer."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    return connection if tls is None else tls.wrap_socket(connection, server_hostname="localhost")


def read_all(connection: socket.socket) -> Answer:
    """Return everything until the server closes the connection."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return Answer(b"".join(parts))


def send(port: int, data: bytes) -> Answer:
    """Send bytes on a new connection and return the response."""
    with connect(port) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # the server refuses the rest
            connection.sendall(data)
        return read_all(connection)


def request(
    port: int,
    method: str = "GET",
    path: str = "/",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send one request with a Host header, unless ``headers`` replace it, and close."""
    values = {"Host": f"127.0.0.1:{port}", "Connection": "close"} | (headers or {})
    if body and "Transfer-Encoding" not in values:
        values = {"Content-Length": str(len(body))} | values
    lines = "".join(f"{name}: {value}\r\n" for name, value in values.items() if value)
    return send(port, f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
