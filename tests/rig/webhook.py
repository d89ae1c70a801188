"""A loopback HTTP server that receives notifications, as a webhook does."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """What was received, and what is answered."""

    def __init__(self, port: Callable[[], int]) -> None:
        self._port = port
        self.received: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        """Statuses of the next answers; afterwards 200."""

    @property
    def url(self) -> str:
        """Address in the form of Apprise, with a secret in it."""
        return f"json://user:s3cret-word@127.0.0.1:{self._port()}/hook/t0ken-in-path"


@contextmanager
def serve_webhook() -> Iterator[Webhook]:
    """Serve until the end of the context."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = webhook.statuses.pop(0) if webhook.statuses else 200
            if status == 200:
                webhook.received.append(json.loads(body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    webhook = Webhook(lambda: server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield webhook
    finally:
        server.shutdown()
        server.server_close()
