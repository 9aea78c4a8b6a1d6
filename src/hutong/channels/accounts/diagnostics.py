"""What is wrong with a channel account: what every account needs, then what the channel's own adapter finds."""

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
from hutong.channels.protocol import Finding
from hutong.channels.registry import adapter
from hutong.clock import Clock
from hutong.errors import ConfigurationError, HutongError, InvalidParameter
from hutong.vault import Vault

CLOCK_LIMIT = timedelta(seconds=30)
"""How far this machine's clock may be from a channel's. Channels refuse what is minutes off."""

_FAULTS: tuple[tuple[type[BaseException], str, str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "certificate_not_trusted", "its TLS certificate is not one we trust"),
    (aiohttp.ClientConnectorSSLError, "tls_failed", "it does not speak TLS as we do; is the address right?"),
    (aiohttp.ClientConnectorDNSError, "host_not_found", "its name leads nowhere; is it written right, does DNS work?"),
    (aiohttp.ConnectionTimeoutError, "no_connection_in_time", "no connection in time; does a firewall hold it back?"),
    (aiohttp.ClientConnectorError, "connection_refused", "it takes no connection; is the address right?"),
    (BaseException, "no_answer", "it took the call and gave no answer"),
)


async def diagnose_account(
    database: db.Database, vault: Vault, http: Http, clock: Clock, account_id: UUID
) -> list[Finding]:
    """Look at an account from the outside to the inside; money is not touched, and no finding holds a secret.

    Errors:
        NotFound: no such account.
    """
    async with database.transaction() as tx:
        row = await read_account(tx, account_id)
    try:
        credentials = open_credentials(vault, account_id, row)
    except HutongError as error:
        return [_unusable(error)]
    findings = [Finding("credentials", None, "they can be read")]
    for url in _addresses(credentials):
        findings += await look_at_host(http, url, clock)
    if any(finding.fault for finding in findings if finding.check == "host"):
        return findings  # what the adapter would ask cannot be asked
    made = adapter(row["channel"])
    channel = made(credentials, http, Codes(load_codes(made.code_map)))
    return findings + await channel.diagnose(now=clock.now())


def _unusable(error: HutongError) -> Finding:
    if isinstance(error, ConfigurationError):
        advice = f"{error.detail}: set the HUTONG_SECRET_KEY that they were stored with, or rotate them"
        return Finding("credentials", "cannot_be_decrypted", advice)
    if isinstance(error, InvalidParameter) and error.param == "channel":
        return Finding("credentials", "no_adapter", error.detail)
    return Finding("credentials", "not_valid", f"{error.detail}: rotate them")


def _addresses(credentials: BaseModel) -> list[str]:
    """Where the account is reached: each host once."""
    values = [value for name, value in credentials if name.endswith("_url") and isinstance(value, str)]
    origins = [f"{parts.scheme}://{parts.netloc}/" for parts in map(urlsplit, values) if parts.scheme and parts.netloc]
    return list(dict.fromkeys(origins))


async def look_at_host(http: Http, url: str, clock: Clock) -> list[Finding]:
    """Whether a channel can be reached, and whether its clock and ours agree. Any answer will do."""
    host = urlsplit(url).netloc
    try:
        reply = await http.call("GET", url, headers={})
    except ChannelUnreachable as error:
        cause = error.__cause__ or error
        fault, advice = next((fault, advice) for kind, fault, advice in _FAULTS if isinstance(cause, kind))
        return [Finding("host", fault, f"{host}: {advice}")]
    return [Finding("host", None, f"{host} answers"), _clock(reply.headers.get("date"), clock.now())]


def _clock(date: str | None, now: datetime) -> Finding:
    try:
        theirs = parsedate_to_datetime(date or "")
        ahead = now - theirs
    except (TypeError, ValueError):  # no instant, or one without a zone
        return Finding("clock", None, "the channel does not tell its time")
    if abs(ahead) <= CLOCK_LIMIT:
        return Finding("clock", None, f"{ahead.total_seconds():+.0f} s from the channel's")
    way = "ahead of" if ahead > timedelta(0) else "behind"
    advice = (
        f"this machine's clock is {abs(ahead.total_seconds()):.0f} s {way} the channel's; have it follow a time server"
    )
    return Finding("clock", "clock_skew", advice)
