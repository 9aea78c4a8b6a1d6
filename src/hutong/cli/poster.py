"""`hutong merchant poster`, `links` and `disable-link`: payment links, and posters with their QR codes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hutong.cli.common import (
    AMOUNT_MINOR_MAX,
    Json,
    Reason,
    check_target,
    in_transaction,
    load_settings,
    make_ids,
    on_platform,
)
from hutong.cli.merchant_keys import KEY_REASON, KeyReason
from hutong.cli.merchant_of import MerchantName, find_merchant, merchant_id_of
from hutong.cli.output import print_json, print_line, print_result
from hutong.cli.tables import print_table
from hutong.clock import SystemClock

if TYPE_CHECKING:
    from uuid import UUID

    from hutong import app, db, merchants
    from hutong.merchants import payment_links

posters = typer.Typer()


class PaperSize(StrEnum):
    """Sizes of paper."""

    A4 = "a4"
    A6 = "a6"


class PosterLanguage(StrEnum):
    """Languages of a poster, in the order in which they are printed."""

    ZH_EN = "zh-en"
    EN_ZH = "en-zh"
    ZH = "zh"
    EN = "en"


LinkId = Annotated[str, typer.Argument(metavar="LINK", help="The payment link, lnk_….")]


@posters.command("poster")
def poster(
    merchant_name: MerchantName,
    target: Annotated[Path, typer.Option("--to", metavar="FILE", help="The HTML file to write; a browser prints it.")],
    subject: Annotated[
        str | None, typer.Option("--subject", help="What is paid, as payers read it; by default the merchant's name.")
    ] = None,
    amount_minor: Annotated[
        int | None,
        typer.Option(min=1, max=AMOUNT_MINOR_MAX, help="A fixed amount, in minor units; by default payers enter it."),
    ] = None,
    least_minor: Annotated[
        int, typer.Option(min=1, max=AMOUNT_MINOR_MAX, help="The least that payers may enter, in minor units.")
    ] = 1,
    most_minor: Annotated[
        int, typer.Option(min=1, max=AMOUNT_MINOR_MAX, help="The most that payers may enter, in minor units.")
    ] = 1_000_000,
    currency: Annotated[str, typer.Option("--currency", help="ISO 4217 code.")] = "CNY",
    link: Annotated[
        str | None, typer.Option("--link", metavar="LINK", help="Print this link again instead of a new one.")
    ] = None,
    paper: Annotated[PaperSize, typer.Option("--paper", help="The size of the paper.")] = PaperSize.A6,
    language: Annotated[
        PosterLanguage, typer.Option("--language", help="The languages of the poster.")
    ] = PosterLanguage.ZH_EN,
    reason: KeyReason = KEY_REASON,
    as_json: Json = False,
) -> None:
    """Create a payment link, and write a poster with its QR code.

    A payer scans it, enters an amount, unless it is fixed, and pays in the cashier. The poster names the wallets that
    can be paid with now.
    """
    from hutong import app, cashier, ids, merchants
    from hutong.merchants import payment_links

    check_target(target, "--to")
    settings = load_settings()
    least, most = (least_minor, most_minor) if amount_minor is None else (amount_minor, amount_minor)
    known, new_id = None if link is None else ids.decode(payment_links.PREFIX, link), make_ids(settings).new()

    async def work(tx: db.Tx) -> tuple[merchants.Merchant, payment_links.PaymentLink, tuple[str, bytes] | None]:
        owner, now = await find_merchant(tx, merchant_name), SystemClock().now()
        made = payment_links.PaymentLink(
            new_id, owner.merchant_id, owner.name if subject is None else subject, currency, least, most, now
        )
        if known is None:
            await payment_links.create_link(tx, made, reason=reason)
        else:
            made = await _own_link(tx, owner, known)
        return owner, made, await merchants.find_logo(tx, owner.logo)

    owner, made, logo = in_transaction(work, settings)
    public_id = ids.encode(payment_links.PREFIX, made.link_id)
    url = f"{app.public_url(settings)}/link/{public_id}"
    wallets = on_platform(lambda platform: _wallets(platform, made, owner))
    page = cashier.Poster(
        made, owner, url, logo, wallets, language.value.split("-"), cashier.Paper(paper.value.upper()), settings.sandbox
    )
    target.write_text(page.render(), encoding="utf-8")
    document = {"link_id": public_id, "url": url, "file": str(target), "wallets": wallets}
    print_result(document, f"{public_id}  {url}\nwritten: {target}", as_json=as_json)


@posters.command("links")
def list_links(merchant_name: MerchantName, as_json: Json = False) -> None:
    """List a merchant's payment links, oldest first."""
    from hutong.merchants import payment_links

    async def work(tx: db.Tx) -> list[payment_links.PaymentLink]:
        return await payment_links.list_links(tx, await merchant_id_of(tx, merchant_name))

    documents = [found.document() for found in in_transaction(work)]
    if as_json:
        print_json({"links": documents})
    elif documents:
        print_table(documents)
    else:
        print_line("the merchant has no payment link")


@posters.command("disable-link")
def disable_link(link_id: LinkId, reason: Reason, as_json: Json = False) -> None:
    """Disable a payment link, at once and permanently; payments that it has created go on."""
    from hutong import ids
    from hutong.merchants import payment_links

    identifier = ids.decode(payment_links.PREFIX, link_id)

    async def work(tx: db.Tx) -> None:
        await payment_links.disable_link(tx, identifier, reason=reason, now=SystemClock().now())

    in_transaction(work)
    print_result({"link_id": link_id, "status": "disabled"}, "disabled", as_json=as_json)


async def _own_link(tx: db.Tx, owner: merchants.Merchant, link_id: UUID) -> payment_links.PaymentLink:
    from hutong.errors import NotFound
    from hutong.merchants import payment_links

    found = await payment_links.find_link(tx, link_id)
    if found.merchant_id != owner.merchant_id or found.disabled_at is not None:
        raise NotFound("the merchant has no such payment link in use", param="--link")
    return found


async def _wallets(platform: app.Platform, link: payment_links.PaymentLink, owner: merchants.Merchant) -> list[str]:
    """Return the wallets by which the least that the link takes can be paid on some device, in the merchant's order."""
    offers = await platform.lifecycle.route_selector.methods(link.least_minor, link.currency)
    offered = dict.fromkeys(offer.wallet for offer in offers if offer.devices)
    preferred = [name for name in owner.methods if name in offered]
    return list(dict.fromkeys([*preferred, *offered]))
