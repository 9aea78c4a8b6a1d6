"""The methods by which a payment can be made now, and those that one device is offered: one per wallet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from hutong.channels import ActionKind, Device, Offer
from hutong.payments.model import CaptureMethod

PAGE_ACTIONS = frozenset({ActionKind.QR_CODE, ActionKind.REDIRECT, ActionKind.FORM})
"""What a page can hand on anywhere: a code, a link, a form. To a wallet's browser it can hand parameters as well."""
_STEPS = 20
"""Success rates are compared in steps of a twentieth, so that their noise does not move the entries of a page."""


@dataclass(frozen=True, slots=True)
class MethodOffer:
    """A method that at least one account takes now.

    Attributes:
        wallet: The brand by which payers know it.
        action: The payer's next step; None where there is none.
        requires: The payer's details that it needs.
        identifies: Those of them that an account's channel can tell of the payer's browser.
        devices: On which devices a page can offer it; empty where only a merchant's own application or till can.
        rank: Its place among the methods of its channel, the best of a wallet first.
        success: The estimated chance, by the best of its accounts, that it is processed.
    """

    name: str
    wallet: str
    action: ActionKind | None
    requires: frozenset[str]
    devices: frozenset[Device]
    rank: int
    success: float
    identifies: frozenset[str] = frozenset()


def method_offers(
    offers: Iterable[Offer],
    amount_minor: int,
    currency: str,
    capture_method: CaptureMethod,
    *,
    success: Callable[[UUID, str], float],
) -> list[MethodOffer]:
    """Return the methods that take such a payment, in the order of the accounts and of each channel's methods.

    Args:
        success: Returns the estimated success rate of a method at an account.
    """
    manual = capture_method is CaptureMethod.MANUAL
    found: dict[str, MethodOffer] = {}
    for offer in offers:
        can = offer.capabilities
        if not can.takes(amount_minor, currency):
            continue
        for rank, (name, method) in enumerate(can.methods.items()):
            if currency not in (method.currencies or can.currencies) or (manual and not method.manual_capture):
                continue
            rate = success(offer.account_id, name)
            if name in found:
                known = found[name]
                found[name] = replace(
                    known, success=max(known.success, rate), identifies=known.identifies | method.identifies
                )
            else:
                wallet = method.wallet_of(name)
                found[name] = MethodOffer(
                    name, wallet, method.action, method.requires, method.works_on, rank, rate, method.identifies
                )
    return list(found.values())


def one_per_wallet(
    offers: Sequence[MethodOffer], device: Device, *, known: frozenset[str], preferred: Sequence[str] = ()
) -> list[MethodOffer]:
    """Return the methods that a page offers on a device, one per wallet, in the order in which they are shown.

    On a phone a code is offered only where nothing else of its wallet works there: another device can scan it. In a
    wallet's own browser it is not.

    Args:
        known: The payer's details that the page itself has.
        preferred: Wallets or methods that are shown first, in this order; the others follow, the most successful first.
    """
    usable = [
        offer
        for offer in offers
        if (offer.action in PAGE_ACTIONS or offer.identifies) and offer.requires <= known | offer.identifies
    ]
    here = [offer for offer in usable if device in offer.devices]
    if device is Device.PHONE:
        wallets = {offer.wallet for offer in here}
        codes = [offer for offer in usable if offer.action is ActionKind.QR_CODE and offer.wallet not in wallets]
        here += [offer for offer in codes if Device.DESKTOP in offer.devices]
    places = {name: place for place, name in reversed(list(enumerate(preferred)))}
    first = {offer.name: place for place, offer in enumerate(offers)}

    def order(offer: MethodOffer) -> tuple[int, int, int]:
        listed = min(places.get(offer.name, len(places)), places.get(offer.wallet, len(places)))
        return listed, -round(offer.success * _STEPS), first[offer.name]

    best: dict[str, MethodOffer] = {}
    for offer in sorted(here, key=lambda offer: (places.get(offer.name, len(places)), offer.rank, order(offer))):
        best.setdefault(offer.wallet, offer)
    return sorted(best.values(), key=order)


@dataclass(frozen=True, slots=True)
class CashierMethods:
    """What the cashier offers on one device.

    Attributes:
        names: The methods, one per wallet, in the order in which they are shown.
        wallets: The wallet of every method that takes the payment.
        in_browser: Whether the phone's own browser could offer a wallet that this wallet's browser cannot.
    """

    names: tuple[str, ...] = ()
    wallets: Mapping[str, str] = field(default_factory=dict)
    in_browser: bool = False


def cashier_methods(
    offers: Sequence[MethodOffer], device: Device, *, known: frozenset[str], preferred: Sequence[str]
) -> CashierMethods:
    """Return what the cashier offers on a device; the arguments are those of `one_per_wallet`."""
    here = one_per_wallet(offers, device, known=known, preferred=preferred)
    outside = one_per_wallet(offers, Device.PHONE, known=known, preferred=preferred) if device.is_wallet else []
    missing = {offer.wallet for offer in outside} - {offer.wallet for offer in here}
    wallets = {offer.name: offer.wallet for offer in offers}
    return CashierMethods(tuple(offer.name for offer in here), wallets, in_browser=bool(missing))
