"""Refuse requests from other sites, oversized bodies and unknown host names; add safe headers."""

import ipaddress
import json
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asd_monitor.web.connections import MAX_HEADER_BYTES
from asd_monitor.web.settings import LOOPBACK_NAMES, WebSettings

MAX_BODY_BYTES = 64 * 1024
TOO_LARGE = f"expected a body of at most {MAX_BODY_BYTES} bytes"
SAFE_METHODS = frozenset({"GET", "HEAD"})
METHODS = SAFE_METHODS | {"POST", "DELETE"}


class Guard:
    """An ASGI middleware that only lets requests of the page itself pass.

    - The Host header must be in the allow-list, against DNS rebinding.
    - A request that may change something must have an ``Origin`` of the page itself. A request with
      a bearer token needs none: a browser never adds a token by itself.
    - A body has at most 64 kB.

    Parameters
    ----------
    application
        The application that is guarded.
    settings
        The allowed host names, and the origins that may frame the page.
    """

    def __init__(self, application: ASGIApp, settings: WebSettings) -> None:
        self._application = application
        self._hosts = allowed_hosts(settings)
        self._external_origin = _origin_of(settings.external_url)
        self._headers = security_headers(settings.frame_ancestors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and answer it, or refuse it."""
        if scope["type"] != "http":
            return
        refusal = self._refuse(scope)
        sender = _HeaderSender(send, self._headers)
        if refusal is not None:
            await _send_error(sender, *refusal)
            return
        await self._application(scope, _BodyLimit(receive), sender)

    def _refuse(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and reason if a request is refused."""
        headers = Headers(scope=scope)
        if not scope["path"].startswith("/"):
            return 400, "expected a path that begins with /"
        # The server limits only headers that arrive in several parts.
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size + len(scope["raw_path"]) + len(scope["query_string"]) > MAX_HEADER_BYTES:
            return 431, f"expected headers of at most {MAX_HEADER_BYTES} bytes"
        if scope["method"] not in METHODS:
            return 405, f"expected one of the methods {', '.join(sorted(METHODS))}"
        if not self._is_known_host(headers.getlist("host"), scope):
            return 421, (
                "this host name is not served; add the name of the URL to web.hosts in the "
                "configuration of asd-monitor"
            )
        if not self._is_own_origin(headers, scope):
            return 403, "expected a request from this page: its Origin header is of another site"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return 413, TOO_LARGE
        return None

    def _is_known_host(self, hosts: Sequence[str], scope: Scope) -> bool:
        if len(hosts) != 1:
            return False
        name = host_name(hosts[0])
        return name in self._hosts or name == _bracketed(scope["server"][0])

    def _is_own_origin(self, headers: Headers, scope: Scope) -> bool:
        origins = headers.getlist("origin")
        if not origins:
            is_token = headers.get("authorization", "").lower().startswith("bearer ")
            return scope["method"] in SAFE_METHODS or is_token
        if scope["method"] in SAFE_METHODS:
            return True  # changes nothing, and no other site can read the response
        own = {f"{scope['scheme']}://{headers['host'].lower()}", self._external_origin}
        return len(origins) == 1 and origins[0].lower() in own


def allowed_hosts(settings: WebSettings) -> frozenset[str]:
    """Return the host names under which the page is served."""
    names = {*LOOPBACK_NAMES, *settings.hosts, _bracketed(settings.address.lower())}
    if settings.external_url is not None:
        names.add(host_name(urlsplit(settings.external_url).netloc))
    return frozenset(names)


def host_name(host: str) -> str:
    """Return a Host header without its port, in lower case."""
    host = host.lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _bracketed(address: str) -> str:
    try:
        is_ipv6 = ipaddress.ip_address(address).version == 6
    except ValueError:
        return address
    return f"[{address}]" if is_ipv6 else address


def _origin_of(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def security_headers(frame_ancestors: Iterable[str]) -> dict[str, str]:
    """Return the headers of every response."""
    ancestors = " ".join(frame_ancestors)
    framed_by = ancestors or "'none'"
    headers = {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            "media-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
            f"base-uri 'none'; frame-ancestors {framed_by}"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
    return headers if ancestors else headers | {"X-Frame-Options": "DENY"}


class _HeaderSender:
    """Sends messages with the security headers."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self._headers = headers

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


class _BodyLimit:
    """Receives messages; answers 413 if their bodies exceed the limit."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._received_bytes = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > MAX_BODY_BYTES:
            raise HTTPException(413, TOO_LARGE)
        return message


async def _send_error(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode() + b"\n"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
