"""`hutong merchant update`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hutong.cli.common import Json, in_transaction
from hutong.cli.merchant_keys import KEY_REASON, KeyReason
from hutong.cli.merchant_of import MerchantName, merchant_document, merchant_id_of, print_merchant
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from hutong import db, merchants

updating = typer.Typer()

VALIDITY_MINUTES_MAX = 5_270_400
_FILE_BYTES_READ = 1 << 20


class Setting(StrEnum):
    """A setting that a merchant can be without."""

    COLOR = "color"
    LOGO = "logo"
    METHODS = "methods"
    SWITCHING = "switching"
    VALIDITY = "validity"


class SwitchingRule(StrEnum):
    """The rule of switching."""

    STRICT = "strict"
    PERMISSIVE = "permissive"


_FIELDS: Mapping[str, str] = {Setting.VALIDITY: "payment_validity"}

_Origins = list[str] | None


@updating.command("update")
def update(
    merchant_name: MerchantName,
    name: Annotated[str | None, typer.Option("--name", help="The new name; shown to payers.")] = None,
    fee_ppm: Annotated[
        int | None, typer.Option("--fee-ppm", help="Our fee, in parts per million of each payment.")
    ] = None,
    returns_fee: Annotated[
        bool | None, typer.Option("--return-fee/--keep-fee", help="Whether refunds return their share of our fee.")
    ] = None,
    add_return_origin: Annotated[
        _Origins, typer.Option(metavar="ORIGIN", help="One more origin to which payers may return; repeatable.")
    ] = None,
    remove_return_origin: Annotated[
        _Origins, typer.Option(metavar="ORIGIN", help="An origin to which payers may no longer return; repeatable.")
    ] = None,
    validity_minutes: Annotated[
        int | None,
        typer.Option(min=1, max=VALIDITY_MINUTES_MAX, help="How long a payment can be paid if its order does not say."),
    ] = None,
    color: Annotated[str | None, typer.Option("--color", metavar="COLOR", help="The cashier's color, #rrggbb.")] = None,
    logo: Annotated[
        Path | None,
        typer.Option("--logo", metavar="FILE", help="PNG, JPEG or WebP; at most 128 KiB and 1,024 pixels a side."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="METHOD", help="What the cashier shows first, in this order; repeatable."),
    ] = None,
    switching: Annotated[
        SwitchingRule | None, typer.Option(help="When payers may leave an open order for another method.")
    ] = None,
    unset: Annotated[list[Setting] | None, typer.Option("--unset", help="A setting to remove; repeatable.")] = None,
    reason: KeyReason = KEY_REASON,
    as_json: Json = False,
) -> None:
    """Change a merchant's settings; they take effect everywhere within five seconds."""
    from hutong import merchants

    given = {
        "name": name, "fee_ppm": fee_ppm, "returns_fee": returns_fee, "color": None if color is None else color.lower(),
        "methods": None if method is None else tuple(method), "logo": None if logo is None else _read(logo),
        "payment_validity": None if validity_minutes is None else timedelta(minutes=validity_minutes),
        "switching": None if switching is None else merchants.Switching(switching),
    }  # fmt: skip
    changes = _changes(given, set(unset or ()))
    sets_logo, content = "logo" in changes, changes.pop("logo", None)
    change = _change(changes, add_return_origin or [], remove_return_origin or [])

    async def work(tx: db.Tx) -> merchants.Merchant:
        merchant_id, now = await merchant_id_of(tx, merchant_name), SystemClock().now()
        if sets_logo:
            await merchants.set_logo(tx, merchant_id, content, reason=reason, now=now)
        return await merchants.update_merchant(tx, merchant_id, change, reason=reason, now=now)

    print_merchant(merchant_document(in_transaction(work)), as_json=as_json)


def _changes(given: Mapping[str, Any], unset: Collection[Setting]) -> dict[str, Any]:
    """Return the new values by field: those given, and the empty ones of the settings that are removed."""
    from hutong.errors import InvalidParameter

    changes = {field: value for field, value in given.items() if value is not None}
    for setting in unset:
        field = _FIELDS.get(setting, setting.value)
        if field in changes:
            raise InvalidParameter(f"--unset {setting} excludes a new value of it", param="--unset")
        changes[field] = () if setting is Setting.METHODS else None
    return changes


def _change(
    changes: Mapping[str, Any], added: Collection[str], removed: Collection[str]
) -> Callable[[merchants.Merchant], merchants.Merchant]:
    """Return the change of a merchant by these fields and origins."""
    from hutong.errors import InvalidParameter

    def change(old: merchants.Merchant) -> merchants.Merchant:
        if absent := set(removed).difference(old.return_origins):
            raise InvalidParameter(f"{min(absent)} is not registered for this merchant", param="--remove-return-origin")
        kept = [origin for origin in old.return_origins if origin not in removed]
        return replace(old, return_origins=tuple(dict.fromkeys([*kept, *added])), **changes)

    return change


def _read(path: Path) -> bytes:
    """Return a file, or its beginning, which is enough to tell that it is too large."""
    from hutong.errors import InvalidParameter

    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_READ)
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read: {error.strerror}", param="--logo") from error
