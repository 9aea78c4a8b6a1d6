"""The settings of an installation, read from the environment (`HUTONG_…`) by the composition root alone."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from hutong.errors import ConfigurationError
from hutong.field_errors import sentence


class Settings(BaseSettings):
    """The settings of an installation. The environment variable of a field is `HUTONG_` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="HUTONG_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(
        default_factory=lambda: Path.home() / ".hutong",
        description="Data folder: the embedded database, its password, the secret key.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="A PostgreSQL 15 or later to use; unset, Hutong starts its own in the data folder.",
    )
    api_database_url: SecretStr | None = Field(
        default=None,
        description="The same database by a login for API and cashier alone; unset, HUTONG_DATABASE_URL.",
    )
    worker_database_url: SecretStr | None = Field(
        default=None,
        description="The same database by a login for the worker alone; unset, HUTONG_DATABASE_URL.",
    )
    console_database_url: SecretStr | None = Field(
        default=None,
        description="The same database by a login for commands, which migrate nothing; unset, HUTONG_DATABASE_URL.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="Key that encrypts credentials at rest: 32 bytes in base64. Unset, a key file in the data folder.",
    )
    backup_folder: Literal["off"] | Path | None = Field(
        default=None,
        description="Folder to which the embedded database archives its changes, for `hutong backup`. It takes effect "
        "when the database starts, and is remembered in the data folder until it is another one, or `off`.",
    )
    zone: int = Field(default=0, ge=0, le=255, description="The zone of this installation; every id carries it.")
    host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port the API listens on; 0 takes a free one.")
    worker_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port on which the worker serves its metrics; unset, it serves none."
    )
    idle_timeout_s: int = Field(
        default=75,
        ge=1,
        le=3600,
        description="How long an idle connection stays open, in seconds; more than a proxy in front keeps one.",
    )
    connections_per_address: int = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Connections that one address may hold open to one process; a proxy in front is one address.",
    )
    public_url: str | None = Field(
        default=None,
        description="Address under which payers and channels reach this installation; unset, the listening address.",
    )
    sandbox: bool = Field(
        default=False,
        description="Use simulated channels; webhooks may go to http and private addresses. Not for real money.",
    )
    sandbox_host: str = Field(default="127.0.0.1", description="Address the sandbox listens on.")
    sandbox_port: int = Field(default=8090, ge=0, le=65535, description="Port the sandbox listens on; 0: a free one.")
    pool_size: int = Field(default=16, ge=2, le=200, description="Database connections of one process.")
    queue_limit: int = Field(
        default=4096, ge=1, description="How many commands may wait for a batch; beyond that the API answers 503."
    )
    payment_validity_days: int = Field(
        default=15, ge=1, le=365, description="How many days a payment can be paid at most, and by default."
    )
    cashier_validity_minutes: int = Field(
        default=30,
        ge=1,
        le=525_600,
        description="How many minutes a payment can be paid by default if the payer chooses the method in the cashier; "
        "the merchant's own validity and the order's `expires_at` come first.",
    )
    cashier_methods: str = Field(
        default="",
        pattern=r"^([a-z0-9_]{1,64}(,[a-z0-9_]{1,64}){0,31})?$",
        description="What the cashier shows first, in this order: wallets (wechat, alipay, unionpay, card) or methods; "
        "the others follow, the most successful first. A merchant's own list comes before it.",
    )
    switching: Literal["permissive", "strict"] = Field(
        default="permissive",
        description="Whether a payer may choose another method while an order stays open that nobody has opened and "
        "that its channel cannot close; `strict` lets them wait until it has ended. A merchant's own rule comes before "
        "it.",
    )
    single_person_limits: str = Field(
        default="CNY=100000",
        pattern=r"^([A-Z]{3}=[0-9]{1,18}(,[A-Z]{3}=[0-9]{1,18})*)?$",
        description="The most, in minor units, that one person may book or reverse by hand, by currency, as in "
        "CNY=100000,USD=15000; beyond it, and in other currencies, it takes two persons.",
    )
    query_cadence: str = Field(
        default="5,10,30,60,120,300,600,1800,3600",
        pattern=r"^[1-9][0-9]{0,5}(,[1-9][0-9]{0,5}){0,31}$",
        description="Seconds before the first query of an attempt's state, and between queries; the last wait repeats.",
    )
    query_database_url: SecretStr | None = Field(
        default=None,
        description="Another PostgreSQL 15 or later for payment records and searches; unset, the payments' database.",
    )
    recon_folder: Path | None = Field(
        default=None,
        description="Folder of reconciliation, with the original bills; unset, `reconciliation` in the data folder.",
    )
    recon_layouts: Path | None = Field(
        default=None,
        description="Folder with layouts of bills of your own, as TOML; one with the name of ours takes its place.",
    )
    recon_memory_mb: int = Field(
        default=512, ge=128, le=1_048_576, description="The most memory that one reconciliation may hold, in MB."
    )
    recon_upload_mb: int = Field(
        default=4096, ge=1, le=1_048_576, description="The largest bill or bank statement that is taken, in MB."
    )
    recon_windows: dict[str, dict[str, Any]] = Field(
        default={},
        description="When a party's days end and which days count, where its own rule is not right: JSON by channel, "
        'account or `bank`, such as {"unionpay": {"cut_minutes": -60, "rolls": 1}, "bank": {"weekends": false}}.',
    )
    recon_settles_to: dict[str, list[str]] = Field(
        default={},
        description="To which bank accounts a channel settles, where several have one currency: JSON by channel or "
        'account, with names or ids of bank accounts, such as {"wechat": ["main"], "stripe": ["us", "eu"]}.',
    )
    recon_tolerances: dict[str, dict[str, dict[str, int]]] = Field(
        default={},
        description="By how many minor units a column may differ, as JSON by channel or account, layer and column "
        '(`fee`, `paid`, `ordered`), such as {"alipay": {"payment_bill": {"fee": 1}}}.',
    )
    avatar_base_url: str | None = Field(
        default=None,
        description="Address before `{customer}?v={avatar}` in payment records; `{merchant_id}` in it is replaced.",
    )
    broker_url: SecretStr | None = Field(
        default=None,
        description="Broker for all events: amqp://… (RabbitMQ) or kafka://host:port,…; unset, none is used.",
    )
    events_keep_days: int = Field(
        default=90, ge=2, le=3650, description="For how many days events stay in the database before they are archived."
    )
    events_archive: Path | None = Field(
        default=None,
        description="Folder to which the worker writes archived events; unset, they stay in the schema events_archive.",
    )
    event_source: str = Field(
        default="hutong",
        pattern=r"^[a-z][a-z0-9_-]{0,31}$",
        description="First part of the names of event streams; keep it once a listener depends on it.",
    )
    ledger_head_secret: SecretStr | None = Field(
        default=None,
        description="Secret that signs requests to HUTONG_LEDGER_HEAD_URL, as Standard Webhooks: whsec_ and base64.",
    )
    ledger_head_url: str | None = Field(
        default=None,
        description="Address that the worker sends each new head of the books' chain to; unset, a file alone has them.",
    )
    recon_engine: Literal["fingerprint", "one_sql", "ibis_duckdb", "spark"] = Field(
        default="fingerprint",
        description="What matches the rows of reconciliation, with equal results: the fast path, one join of DuckDB, "
        "or one Ibis expression on DuckDB or on a Spark cluster (the last two: pip install 'hutong[spark]').",
    )
    spark_master: str = Field(
        default="spark://127.0.0.1:7077",
        pattern=r"^(spark://[^\s/:]+:[0-9]{1,5}(,[^\s/:]+:[0-9]{1,5})*|local(\[([1-9][0-9]{0,3}|\*)\])?)$",
        description="The Spark cluster for HUTONG_RECON_ENGINE=spark, or local[2] for threads of the process itself. "
        "Its workers need the folder of reconciliation under the same path, and HUTONG_RECON_MEMORY_MB of memory.",
    )
    log_level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="The lowest logged level."
    )
    log_format: str = Field(default="json", pattern="^(json|console)$", description="The form of log lines.")

    @field_validator("home", "events_archive", "backup_folder", "recon_folder", "recon_layouts")
    @classmethod
    def _absolute(cls, folder: Path | str | None) -> Path | str | None:
        return folder.expanduser().absolute() if isinstance(folder, Path) else folder

    @field_validator(
        "database_url", "api_database_url", "worker_database_url", "console_database_url", "query_database_url"
    )
    @classmethod
    def _is_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and (fault := _fault_of_address(url.get_secret_value())):
            raise ValueError(fault)
        return url

    @field_validator("broker_url")
    @classmethod
    def _is_broker(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("amqp://", "amqps://", "kafka://")):
            raise ValueError("must begin with amqp://, amqps:// or kafka://")
        return url

    @field_validator("ledger_head_secret")
    @classmethod
    def _is_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not re.fullmatch(r"whsec_[A-Za-z0-9+/]{32,}={0,2}", secret.get_secret_value()):
            raise ValueError("must be whsec_ and at least 24 bytes in base64")
        return secret

    @field_validator("ledger_head_url")
    @classmethod
    def _is_signed(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with https:// or http://")
        if url is not None and "ledger_head_secret" in info.data and info.data["ledger_head_secret"] is None:
            raise ValueError("needs HUTONG_LEDGER_HEAD_SECRET, which signs the requests")
        return url

    @field_validator("public_url")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("must begin with https:// or http://")
        return url.rstrip("/") if url else None


_ENCODED = "; in a password, @ is written %40, / %2F, # %23, ? %3F, % %25, a blank %20"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(:[0-9]{1,5})?")


def _fault_of_address(url: str) -> str | None:
    """Return why this is not the address of a PostgreSQL, without showing any of it; None if it is one.

    Clients of the database read an address that is not well-formed in different ways, and print it with the password.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return "must begin with postgresql://"
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        return f"must not have blanks{_ENCODED}"
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        return f"has a % without two hexadecimal digits after it{_ENCODED}"
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, _, hosts = authority.rpartition("@")
    if "@" in user or (not user and "@" in rest) or "#" in rest:
        return f"has a character that must be written in another way{_ENCODED}"
    if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        return f"has no valid host and port{_ENCODED}"
    return None


def home_folder(settings: Settings) -> Path:
    """Return the data folder, created if absent, for its owner alone.

    As root, others may pass through it, since the embedded server's own user must.
    """
    settings.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    return settings.home


def environment(**settings: object) -> dict[str, str]:
    """Return the environment for a child process: that of this process, with these settings replaced."""
    return {**os.environ, **{f"HUTONG_{name.upper()}": str(value) for name, value in settings.items()}}


def load() -> Settings:
    """Read the settings from the environment.

    Errors:
        ConfigurationError: a value that is not allowed, or an unknown variable `HUTONG_…`: a slip in the name of the
            database's address must not start an empty embedded database. Each is named; no value is shown.
    """
    names = {f"HUTONG_{field.upper()}" for field in Settings.model_fields}
    present = {name for name in os.environ if name.startswith("HUTONG_") and not name.startswith("HUTONG_TEST_")}
    faults = []
    for name in sorted(present - names):
        near = difflib.get_close_matches(name, names, n=1)
        faults.append(f"{name}: there is no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    try:
        settings = Settings()
    except ValidationError as error:
        faults += [
            f"{name}: {sentence(fault, name)}"
            for fault in error.errors()
            for name in (f"HUTONG_{str(fault['loc'][0]).upper()}",)
        ]
    if faults:
        raise ConfigurationError("; ".join(faults), param=faults[0].split(":")[0])
    return settings
