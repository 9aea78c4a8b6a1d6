"""The settings of an installation, read from the environment (`HUTONG_…`) by the composition root alone."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything that may be set. Each field's environment variable is `HUTONG_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="HUTONG_", extra="ignore")

    home: Path = Field(
        default_factory=lambda: Path.home() / ".hutong",
        description="Data folder: the embedded database, its password, the secret key.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="A PostgreSQL 15 or later to use; unset, Hutong starts its own in the data folder.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="Key that encrypts credentials at rest: 32 bytes in base64. Unset, a key file in the data folder.",
    )
    zone: int = Field(default=0, ge=0, le=255, description="The zone of this installation; every id carries it.")
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port the API listens on; 0 takes a free one.")
    public_url: str | None = Field(
        default=None,
        description="Address under which payers and channels reach this installation; unset, the listening address.",
    )
    sandbox: bool = Field(
        default=False,
        description="Play with simulated channels; webhooks may go to http and private addresses. Not for real money.",
    )
    sandbox_host: str = Field(default="127.0.0.1", description="Address the sandbox listens on.")
    sandbox_port: int = Field(default=8090, ge=0, le=65535, description="Port the sandbox listens on; 0: a free one.")
    pool_size: int = Field(default=16, ge=2, le=200, description="Database connections of one process.")
    queue_limit: int = Field(
        default=4096, ge=1, description="Commands that may wait for a batch; beyond it the API answers 503."
    )
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$", description="Least level logged.")
    log_format: str = Field(default="json", pattern="^(json|console)$", description="How a log line is written.")
