"""The channels' keys that processes have fetched and verified: shared through the database, and kept over restarts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID

from hutong import db, ids
from hutong.channels.statements import sql
from hutong.errors import ConfigurationError
from hutong.telemetry import get_logger
from hutong.vault import Vault

_log = get_logger(__name__)


class KeyPlace(NamedTuple):
    """The place of a key: its account in one version, and its id at the channel."""

    account_id: UUID
    version: int
    key_id: str


class AdoptedKeys:
    """The stored keys that a process knows of."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: set[KeyPlace] = set()

    async def load(self, tx: db.Tx) -> dict[KeyPlace, str]:
        """Return the stored keys that are new to this process, in PEM. One that cannot be opened is left out."""
        stored = [KeyPlace(*row) for row in await sql.adopted_keys.fetch(tx)]
        wanted = [place for place in stored if place not in self._known]
        rows = await sql.load_adopted_keys.fetch(tx, rows=wanted) if wanted else []
        keys = {}
        for row in rows:
            place = KeyPlace(row["account_id"], row["version"], row["key_id"])
            self._known.add(place)
            try:
                keys[place] = self._vault.open(row["pem_sealed"], context=_context(place)).decode()
            except ConfigurationError:
                _log.error("channel_key_unusable", account=ids.encode("acc", place.account_id), key=place.key_id)
        return keys

    async def store(self, database: db.Database, keys: Mapping[KeyPlace, str], *, now: datetime) -> None:
        """Store verified keys, in PEM, sealed like credentials. Repeat: of a key in one version the first one stays."""
        new = {place: pem for place, pem in keys.items() if place not in self._known}
        if new:
            sealed = [self._vault.seal(pem.encode(), context=_context(place)) for place, pem in new.items()]
            store = partial(sql.store_adopted_keys.execute, rows=list(new), pem_sealed=sealed, adopted_at=now)
            await database.run(store)
            self._known |= new.keys()


def _context(place: KeyPlace) -> str:
    return f"channel_key:{ids.encode('acc', place.account_id)}:{place.version}:{place.key_id}"
