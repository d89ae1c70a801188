"""The TLS context of a connection to an MQTT broker."""

import ssl
from pathlib import Path

from asd_monitor.errors import SinkError
from asd_monitor.sinks.mqtt.settings import MqttTls


class _TlsSocket(ssl.SSLSocket):
    """A socket that closes itself if the handshake fails; paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (OSError, ValueError):
            self.close()
            raise


def make_tls_context(tls: MqttTls) -> ssl.SSLContext:
    """Return the TLS context of these settings, whose files are read now.

    Raises
    ------
    SinkError
        If a file cannot be read, or a certificate and its key do not belong together.
    """
    try:
        context = ssl.create_default_context(cafile=_to_text(tls.ca_file))
    except (OSError, ValueError) as error:
        msg = f"mqtt.tls.ca_file: {tls.ca_file}: expected PEM certificates: {error}"
        raise SinkError(msg) from error
    if tls.ca_file is not None:
        # Python 3.13 requires extensions that private authorities often lack.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.cert_file is not None:
        try:
            # With the empty passphrase OpenSSL does not ask for one on the terminal.
            context.load_cert_chain(tls.cert_file, _to_text(tls.key_file), password="")
        except (OSError, ValueError) as error:
            msg = (
                f"mqtt.tls: {tls.cert_file} with key {tls.key_file or tls.cert_file}: expected a "
                f"PEM certificate and its key without a passphrase: {error}"
            )
            raise SinkError(msg) from error
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _TlsSocket
    return context


def _to_text(path: Path | None) -> str | None:
    return None if path is None else str(path)
