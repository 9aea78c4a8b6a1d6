"""Diagnosis of a channel account: the checks of every account, then those of the channel's adapter."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
from pydantic import BaseModel

from hutong import db
from hutong.channels.accounts.accounts import open_credentials, read_account
from hutong.channels.codes.codes import Codes, load_codes
from hutong.channels.errors import ChannelUnreachable
from hutong.channels.http import Http
from hutong.channels.protocol import AccountFinding
from hutong.channels.registry import adapter
from hutong.clock import Clock
from hutong.errors import ConfigurationError, CredentialsUnreadable, HutongError, InvalidParameter
from hutong.vault import Vault

CLOCK_LIMIT = timedelta(seconds=30)
"""Largest accepted difference to a channel's clock. Channels refuse messages that are minutes off."""

_FAULTS: tuple[tuple[type[BaseException], str, str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "certificate_not_trusted", "its TLS certificate is not trusted"),
    (aiohttp.ClientConnectorSSLError, "tls_failed", "the TLS handshake failed; is the address right?"),
    (aiohttp.ClientConnectorDNSError, "host_not_found", "its name is not found; is it spelled right, does DNS work?"),
    (aiohttp.ConnectionTimeoutError, "no_connection_in_time", "no connection in time; does a firewall block it?"),
    (aiohttp.ClientConnectorError, "connection_refused", "it refuses the connection; is the address right?"),
    (BaseException, "no_answer", "it accepted the call and gave no answer"),
)


async def diagnose_account(
    database: db.Database, vault: Vault, http: Http, clock: Clock, account_id: UUID
) -> list[AccountFinding]:
    """Check an account from the outside in; money is not touched, and no finding holds a secret.

    Errors:
        NotFound: no such account.
    """
    async with database.transaction() as tx:
        row = await read_account(tx, account_id)
    try:
        credentials = open_credentials(vault, account_id, row)
    except HutongError as error:
        return [_unusable(error)]
    findings = [AccountFinding("credentials", None, "they can be read")]
    for url in _addresses(credentials):
        findings += await check_host(http, url, clock)
    if any(finding.fault for finding in findings if finding.check == "host"):
        return findings  # the adapter's own checks need the host
    channel_class = adapter(row["channel"])
    channel = channel_class(credentials, http, Codes(load_codes(channel_class.code_map)))
    return findings + await channel.diagnose(now=clock.now())


def _unusable(error: HutongError) -> AccountFinding:
    if isinstance(error, (ConfigurationError, CredentialsUnreadable)):
        advice = f"{error.detail}: set the HUTONG_SECRET_KEY that they were stored with, or rotate them"
        return AccountFinding("credentials", "cannot_be_decrypted", advice)
    if isinstance(error, InvalidParameter) and error.param == "channel":
        return AccountFinding("credentials", "no_adapter", error.detail)
    return AccountFinding("credentials", "not_valid", f"{error.detail}: rotate them")


def _addresses(credentials: BaseModel) -> list[str]:
    """Return the addresses of the account's hosts, each once."""
    values = [value for name, value in credentials if name.endswith("_url") and isinstance(value, str)]
    origins = [f"{parts.scheme}://{parts.netloc}/" for parts in map(urlsplit, values) if parts.scheme and parts.netloc]
    return list(dict.fromkeys(origins))


async def check_host(http: Http, url: str, clock: Clock) -> list[AccountFinding]:
    """Check that a channel can be reached and that its clock and ours agree. Any answer will do."""
    host = urlsplit(url).netloc
    try:
        reply = await http.call("GET", url, headers={})
    except ChannelUnreachable as error:
        cause = error.__cause__ or error
        fault, advice = next((fault, advice) for kind, fault, advice in _FAULTS if isinstance(cause, kind))
        return [AccountFinding("host", fault, f"{host}: {advice}")]
    return [AccountFinding("host", None, f"{host} answers"), _clock(reply.headers.get("date"), clock.now())]


def _clock(date: str | None, now: datetime) -> AccountFinding:
    try:
        ahead = now - parsedate_to_datetime(date or "")
    except (TypeError, ValueError):  # no instant, or one without a zone
        return AccountFinding("clock", None, "the channel's answer has no time")
    if abs(ahead) <= CLOCK_LIMIT:
        return AccountFinding("clock", None, f"{ahead.total_seconds():+.0f} s from the channel's")
    direction = "ahead of" if ahead > timedelta(0) else "behind"
    advice = (
        f"this machine's clock is {abs(ahead.total_seconds()):.0f} s {direction} the channel's; set it by a time server"
    )
    return AccountFinding("clock", "clock_skew", advice)
