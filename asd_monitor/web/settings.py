"""Settings of the web page."""

import ipaddress
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from asd_monitor.settings_file import SettingsPath

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Names under which the page is always served, as in the Host header of a request."""


class WebSettings(BaseModel):
    """Where the web page is served; null: no page."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    address: str = Field("127.0.0.1", min_length=1)
    """Address to listen on. Any other than a loopback address needs a password
    (`asd-monitor access`) and a certificate."""
    port: int = Field(9110, ge=0, le=65535)
    """TCP port; 0 means any free one."""
    hosts: tuple[str, ...] = ()
    """Names and addresses, without a port, under which browsers reach the page; requests for
    other names are refused. Loopback names and `address` are always allowed."""
    certificate_file: SettingsPath | None = None
    """TLS certificate (PEM, with its chain); plain HTTP without one."""
    key_file: SettingsPath | None = None
    """The certificate's private key (PEM)."""
    plain_http: bool = False
    """Serve other computers without TLS: passwords and sessions can then be read by everyone on
    the network. Only for a network that is trusted, or behind a proxy that adds TLS."""
    external_url: str | None = None
    """URL under which users reach the page, for links in messages; the page is also served under
    its host name."""
    frame_ancestors: tuple[str, ...] = ()
    """Origins, such as `https://dashboard.example.com`, whose pages may embed this one in a frame;
    by default none."""

    @field_validator("external_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is not None and not _is_http_url(url):
            raise ValueError("expected a URL such as https://monitor.example.com/")
        return None if url is None else url.rstrip("/")

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not host or any(character in "/@* \t" for character in host):
                raise ValueError("expected names or addresses, without scheme, port or path")
        return tuple(host.lower() for host in hosts)

    @field_validator("frame_ancestors")
    @classmethod
    def _check_frame_ancestors(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _is_http_url(origin) or any(character in origin for character in "; ,'\"*"):
                raise ValueError("expected origins such as https://dashboard.example.com")
        return origins

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            msg = "certificate_file and key_file go together: give both, or neither"
            raise ValueError(msg)
        if not (self.is_loopback or self.certificate_file or self.plain_http):
            msg = (
                f"the page on {self.address} can be reached from other computers: "
                "give certificate_file and key_file, or allow passwords to be sent unencrypted "
                "by plain_http: true; or use address: 127.0.0.1"
            )
            raise ValueError(msg)
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this computer can connect."""
        if self.address.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.address.partition("%")[0]).is_loopback
        except ValueError:
            return False

    @property
    def scheme(self) -> str:
        """``http`` or ``https``, as served."""
        return "http" if self.certificate_file is None else "https"


def _is_http_url(url: str) -> bool:
    scheme, separator, rest = url.partition("://")
    return scheme in ("http", "https") and bool(separator) and bool(rest.split("/")[0])
