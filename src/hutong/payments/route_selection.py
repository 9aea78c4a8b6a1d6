"""Selection of the channel account for an attempt, and everything that the call to the channel will contain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import orjson

from hutong import channels, ids, routing
from hutong.clock import Clock
from hutong.errors import ConfigurationError, CredentialsUnreadable, HutongError, InvalidParameter
from hutong.payments import errors
from hutong.payments.channel_calls import notify_url
from hutong.payments.method_offers import CashierMethods, MethodOffer, cashier_methods, method_offers
from hutong.payments.model import Attempt, CaptureMethod, NewAttempt, Payment
from hutong.payments.switching import CASHIER_ORDER_LIFE
from hutong.telemetry import get_logger
from hutong.vault import Vault

CLIENT_IP = "client_ip"
"""The payer's detail that the cashier knows by itself."""
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """A payment that needs an account, and how the payer wants to pay.

    Attributes:
        payer: The payer details that the method requires; "institution" is the code of the payer's bank, if known.
        return_url: Where the payer's browser goes afterwards.
        merchant_id, merchant_order_no: The order, from which the attempt's number at the channel is derived.
        fee_ppm: The merchant's fee in millionths of the amount.
        previous: The accounts of the payment's earlier attempts, one entry for each attempt.
        tried: Accounts that have refused the payment before taking money.
        payment_id: Keeps a payment in one arm of an experiment.
        in_cashier: Whether the cashier asks, whose orders live shorter where they could not be ended otherwise.
        life: The longest life of the order; None is what the channel takes.
        identified_by: The account whose channel has identified the payer, for which alone that holds.
    """

    method: str
    amount_minor: int
    currency: str
    payer_ip: str | None = None
    payer: Mapping[str, str] | None = None
    return_url: str | None = None
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    merchant_id: UUID = field(kw_only=True)
    merchant_order_no: str = field(kw_only=True)
    previous: Sequence[UUID] = ()
    fee_ppm: int = 0
    tried: frozenset[UUID] = frozenset()
    payment_id: UUID | None = None
    in_cashier: bool = False
    life: timedelta | None = None
    identified_by: UUID | None = None


class RouteSelector:
    """Selects accounts for attempts and lists the methods by which a payer may pay now.

    Args:
        accounts: Returns channel adapters that are ready to be called.
        state: Selects accounts by their health, the configuration and the overrides.
        public_url: The address under which channels reach this installation.
        sandbox: Whether to use sandbox accounts only. Otherwise they are never used, so that a simulated channel cannot
            be mistaken for a real one.
        vault: Seals payer details.
        cashier_methods: The wallets or methods that the cashier shows first, in this order.
    """

    def __init__(
        self,
        accounts: channels.Accounts,
        state: routing.RoutingState,
        *,
        clock: Clock,
        ids: ids.Ids,
        public_url: str,
        sandbox: bool,
        vault: Vault | None,
        cashier_methods: tuple[str, ...] = (),
    ) -> None:
        self._accounts = accounts
        self.routing_state = state
        self._clock = clock
        self._ids = ids
        self._public_url = public_url.rstrip("/")
        self._sandbox = sandbox
        self._vault = vault
        self._cashier_methods = cashier_methods

    async def choose(self, request: RouteRequest) -> NewAttempt:
        """Build an attempt on the account that routing selects.

        Errors:
            MethodUnknown: no channel has this method.
            NoRoute: no account qualifies; the detail says why for each.
            CredentialsUnreadable: no account qualifies, and some are out of use because this process has another key.
            PayerDetailMissing, ManualCaptureNotOffered: an account would qualify without this requirement.
        """
        offers = {offer.account_id: offer for offer in await self.offers()}
        if request.identified_by is not None:
            request = replace(request, tried=request.tried | (offers.keys() - {request.identified_by}))
        routing_request = self._routing_request(request)
        chosen = self.routing_state.decide(routing_request)
        account_id = chosen.decision.chosen
        if account_id is None:
            self._require_readable()
            raise self._refusal(request, chosen.decision, offers)
        offer = offers[account_id]
        payer = request.payer
        if request.in_cashier and payer:
            payer = {name: payer[name] for name in payer if name in offer.capabilities.methods[request.method].requires}
        # The number's only use: what the channel took under it, it does not take again, even if our database forgot it.
        ordinal = 1 + request.previous.count(account_id)
        attempt_id = self._ids.derive("attempt", request.merchant_id, request.merchant_order_no, account_id, ordinal)
        return NewAttempt(
            attempt_id,
            account_id,
            offer.capabilities.channel,
            request.method,
            request.payer_ip,
            notify_url=notify_url(self._public_url, account_id),
            return_url=request.return_url,
            payer_sealed=self._seal(attempt_id, payer) if payer else None,
            expiry_min=offer.capabilities.expiry_min,
            expiry_max=_life(request, offer.capabilities),
            authorization_kept=offer.capabilities.authorization_kept,
            decision=chosen.record,
        )

    async def failover_attempt(
        self, payment: Payment, run: Sequence[Attempt], answer: channels.ChannelAnswer
    ) -> NewAttempt | None:
        """Build the next attempt of a payment that its channel has refused before taking money.

        Args:
            run: The attempts made so far for one request, the refused one last.

        Returns:
            None if the failure was the payer's or left the payment in doubt, the policy allows no more attempts, or no
            other account qualifies.
        """
        attempt = run[-1]
        policy = self.routing_state.policy(payment.payment_id)
        offer = next((offer for offer in await self.offers() if offer.account_id == attempt.account_id), None)
        method = None if offer is None else offer.capabilities.methods.get(attempt.method)
        if method is not None and method.identifies:
            return None  # another account may know the payer by another name
        late = self._clock.now() - run[0].created_at > policy.failover_within
        if not routing.can_fail_over(answer) or len(run) > policy.failovers or late:
            return None
        request = RouteRequest(
            attempt.method,
            payment.amount_minor,
            payment.currency,
            payer_ip=attempt.payer_ip,
            payer=self.open_payer(attempt.attempt_id, attempt.payer_sealed),
            return_url=attempt.return_url,
            capture_method=payment.capture_method,
            merchant_id=payment.merchant_id,
            merchant_order_no=payment.merchant_order_no,
            previous=[each.account_id for each in payment.attempts],
            fee_ppm=payment.fee_ppm,
            tried=frozenset(each.account_id for each in run),
            payment_id=payment.payment_id,
            life=None if attempt.expires_at is None else attempt.expires_at - attempt.created_at,
        )
        try:
            return await self.choose(request)
        except HutongError as error:
            _log.info("no_other_route", attempt=ids.encode("att", attempt.attempt_id), reason=error.detail)
            return None

    async def methods(
        self, amount_minor: int, currency: str, *, capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    ) -> list[MethodOffer]:
        """Return the methods by which such an amount may be paid now.

        Errors:
            CredentialsUnreadable: there is none, and accounts are out of use because this process has another key.
        """
        router, now = self.routing_state.router, self._clock.now()
        found = method_offers(
            await self.offers(),
            amount_minor,
            currency,
            capture_method,
            success=lambda account_id, name: router.health(account_id, now, name).success,
        )
        if not found:
            self._require_readable()
        return found

    async def in_cashier(
        self, payment: Payment, device: channels.Device, *, preferred: Sequence[str] = ()
    ) -> CashierMethods:
        """Return what the cashier offers for a payment on a device; nothing once the payment is final.

        Args:
            preferred: The merchant's wallets or methods; empty: the installation's.

        Errors:
            CredentialsUnreadable: as `methods`.
        """
        if not payment.is_open:
            return CashierMethods()
        found = await self.methods(payment.amount_minor, payment.currency, capture_method=payment.capture_method)
        known = frozenset({CLIENT_IP})
        return cashier_methods(found, device, known=known, preferred=preferred or self._cashier_methods)

    async def offers(self, *, ahead: bool = False) -> list[channels.Offer]:
        """Return the accounts that may be used; routing selects among these from now on.

        Args:
            ahead: Read them ahead of time, so that payments do not have to.
        """
        usable = [offer for offer in await self._accounts.offers(ahead=ahead) if offer.sandbox is self._sandbox]
        self.routing_state.offer(usable)
        return usable

    def _require_readable(self) -> None:
        if self._accounts.unreadable(sandbox=self._sandbox):
            raise CredentialsUnreadable("the credentials of channel accounts are sealed with another secret key")

    def open_payer(self, attempt_id: UUID, sealed: bytes | None) -> Mapping[str, str]:
        """Return the payer details that were sealed for an attempt."""
        if sealed is None:
            return {}
        opened: dict[str, str] = orjson.loads(self._keeper().open(sealed, context=_context(attempt_id)))
        return opened

    def _routing_request(self, request: RouteRequest) -> routing.RoutingRequest:
        payer = request.payer or {}
        return routing.RoutingRequest(
            request.method,
            request.amount_minor,
            request.currency,
            self._clock.now(),
            merchant=ids.encode("mer", request.merchant_id),
            institution=payer.get("institution", ""),
            fee_ppm=request.fee_ppm,
            tried=request.tried,
            manual=request.capture_method is CaptureMethod.MANUAL,
            payer=frozenset(payer),
            payment=request.payment_id,
        )

    def _refusal(
        self, request: RouteRequest, decision: routing.RoutingDecision, offers: Mapping[UUID, channels.Offer]
    ) -> InvalidParameter:
        reasons = {evaluation.account_id: evaluation.refused for evaluation in decision.evaluations}
        for account_id, reason in reasons.items():
            if reason == "payer_detail_missing":
                method = offers[account_id].capabilities.methods[request.method]
                name = min(method.requires - (request.payer or {}).keys())
                return errors.PayerDetailMissing(f"payer.{name}: is required by this method", param=f"payer.{name}")
        names = {name for offer in offers.values() for name in offer.capabilities.methods}
        if names and request.method not in names and not _is_known(request.method):
            listed = ", ".join(sorted(names))
            return errors.MethodUnknown(f"`method` is not one of {listed}", methods=sorted(names))
        if "manual_capture_not_offered" in reasons.values():
            return errors.ManualCaptureNotOffered("this method takes the money at once", param="capture_method")
        named = {account: reason for account, reason in reasons.items() if reason != "method_not_offered"}
        counted = Counter(f"{offers[account].capabilities.channel}: {reason}" for account, reason in named.items())
        why = "; ".join(sorted(counted)) or "there is no account for it"
        return errors.NoRoute(f"no channel takes this method, currency and amount now ({why})", param="method")

    def _seal(self, attempt_id: UUID, payer: Mapping[str, str]) -> bytes:
        return self._keeper().seal(orjson.dumps(dict(payer)), context=_context(attempt_id))

    def _keeper(self) -> Vault:
        if self._vault is None:
            raise ConfigurationError("payer details can be stored only with HUTONG_SECRET_KEY")
        return self._vault


def _context(attempt_id: UUID) -> str:
    return f"attempt:{ids.encode('att', attempt_id)}"


def _life(request: RouteRequest, can: channels.Capabilities) -> timedelta:
    """Return the longest life of an order; the cashier shortens it where nothing else ends it, or its link ends."""
    limits = [can.expiry_max, *([] if request.life is None else [max(request.life, can.expiry_min)])]
    method = can.methods[request.method]
    if method.decided_within is not None:
        return method.decided_within
    if request.in_cashier and method.stays_payable:
        limits.append(CASHIER_ORDER_LIFE)
    if request.in_cashier and method.action_life is not None:
        limits.append(method.action_life)
    return min(limits)


def _is_known(method: str) -> bool:
    """Tell whether an installed channel has a method, though no account offers it now."""
    return any(method in adapter.capabilities.methods for adapter in channels.adapters().values())
