"""Settings of the HTTP endpoint for Prometheus."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from asd_monitor.settings_file import SettingsPath


class PrometheusSettings(BaseModel):
    """Where Prometheus reads the metrics; null: no endpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    address: str = Field("127.0.0.1", min_length=1)
    """Address to listen on; other computers can read the metrics only at one that they reach."""
    port: int = Field(9109, ge=0, le=65535)
    """TCP port; 0 means any free one."""
    certificate_file: SettingsPath | None = None
    """TLS certificate (PEM, with its chain); plain HTTP without one."""
    key_file: SettingsPath | None = None
    """The certificate's private key (PEM)."""
    client_ca_file: SettingsPath | None = None
    """Serve only clients with a certificate of this authority (PEM)."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            msg = "certificate_file and key_file go together: give both, or neither"
            raise ValueError(msg)
        if self.client_ca_file is not None and self.certificate_file is None:
            msg = (
                "client_ca_file needs certificate_file and key_file: "
                "clients send their certificates only over TLS"
            )
            raise ValueError(msg)
        return self
