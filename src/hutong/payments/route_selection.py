"""Choosing the channel account that a try goes through, and writing down all that its call will say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from hutong import channels, ids, routing
from hutong.clock import Clock
from hutong.errors import ConfigurationError, HutongError
from hutong.payments import errors
from hutong.payments.channel_calls import notify_url
from hutong.payments.model import Attempt, CaptureMethod, NewAttempt, Payment
from hutong.telemetry import get_logger
from hutong.vault import Vault

_IN_THE_CASHIER = (channels.ActionKind.QR_CODE, channels.ActionKind.REDIRECT, channels.ActionKind.FORM)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What somebody wants to pay, and how.

    Attributes:
        payer: What the method asks of the payer; "institution" is the code of his bank, where it is known.
        return_url: Where the payer's browser goes afterwards.
        merchant_id, fee_ppm: Whose payment it is, and what he pays us.
        tried: Accounts that have refused it before taking money.
        payment_id: By it a payment stays in one arm of a trial.
    """

    method: str
    amount_minor: int
    currency: str
    payer_ip: str | None = None
    payer: Mapping[str, str] | None = None
    return_url: str | None = None
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    merchant_id: UUID | None = None
    fee_ppm: int = 0
    tried: frozenset[UUID] = frozenset()
    payment_id: UUID | None = None


class RouteSelector:
    """What may be paid by which method now, and through which account.

    Args:
        accounts: Gives ready channel adapters.
        live: Knows how channels are doing and what operators want.
        public_url: The address under which channels reach this installation.
        sandbox: Play: sandbox accounts are used and no others. Otherwise they are never used, so that a simulated
            channel cannot be taken for a real one.
        vault: Seals what methods ask of the payer.
    """

    def __init__(
        self,
        accounts: channels.Accounts,
        live: routing.RoutingState,
        *,
        clock: Clock,
        ids: ids.Ids,
        public_url: str,
        sandbox: bool,
        vault: Vault | None,
    ) -> None:
        self._accounts = accounts
        self.routing_state = live
        self._clock = clock
        self._ids = ids
        self._public_url = public_url.rstrip("/")
        self._sandbox = sandbox
        self._vault = vault

    async def choose(self, wish: RouteRequest) -> NewAttempt:
        """A try of what is wished, at the account that routing chooses.

        Errors:
            NoRoute: there is none; the detail says why for each.
            PayerDetailMissing, ManualCaptureNotOffered: there would be one, if this were not so.
        """
        offers = {offer.account_id: offer for offer in await self.offers()}
        chosen = self.routing_state.decide(self._ask(wish))
        account_id = chosen.decision.chosen
        if account_id is None:
            raise self._refusal(wish, chosen.decision, offers)
        offer = offers[account_id]
        attempt_id = self._ids.new()
        return NewAttempt(
            attempt_id,
            account_id,
            offer.capabilities.channel,
            wish.method,
            wish.payer_ip,
            notify_url=notify_url(self._public_url, account_id),
            return_url=wish.return_url,
            payer_sealed=self._seal(attempt_id, wish.payer) if wish.payer else None,
            expiry_min=offer.capabilities.expiry_min,
            expiry_max=offer.capabilities.expiry_max,
            authorization_kept=offer.capabilities.authorization_kept,
            decision=chosen.record,
        )

    async def another(
        self, payment: Payment, run: Sequence[Attempt], answer: channels.ChannelAnswer
    ) -> NewAttempt | None:
        """The next try of a payment whose channel has refused it before taking money, for no fault of the payer's;
        None if it may not go elsewhere, has tried enough, or has nowhere to go.

        Args:
            run: The tries made so far for one request, the refused one last.
        """
        attempt = run[-1]
        policy = self.routing_state.policy(routing.PRODUCT, payment.payment_id)
        late = self._clock.now() - run[0].created_at > policy.failover_within
        if not routing.can_fail_over(answer) or len(run) > policy.failovers or late:
            return None
        wish = RouteRequest(
            attempt.method,
            payment.amount_minor,
            payment.currency,
            payer_ip=attempt.payer_ip,
            payer=self.open_payer(attempt.attempt_id, attempt.payer_sealed),
            return_url=attempt.return_url,
            capture_method=payment.capture_method,
            merchant_id=payment.merchant_id,
            fee_ppm=payment.fee_ppm,
            tried=frozenset(each.account_id for each in run),
            payment_id=payment.payment_id,
        )
        try:
            return await self.choose(wish)
        except HutongError as error:
            _log.info("no_other_route", attempt=ids.encode("att", attempt.attempt_id), reason=error.detail)
            return None

    async def methods(
        self, amount_minor: int, currency: str, *, capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    ) -> list[str]:
        """The methods by which a payer may pay such an amount now in the cashier: by a code or on the channel's own
        page, without telling us anything."""
        manual = capture_method is CaptureMethod.MANUAL
        return sorted(
            {
                name
                for offer in await self.offers()
                if offer.capabilities.takes(amount_minor, currency)
                for name, method in offer.capabilities.methods.items()
                if method.action in _IN_THE_CASHIER and not method.requires
                if method.manual_capture or not manual
            }
        )

    async def offers(self) -> list[channels.Offer]:
        """The accounts that may be used; routing chooses among these from now on."""
        return self._take(await self._accounts.offers())

    async def look_ahead(self) -> list[channels.Offer]:
        """As `offers`, asked beside the payments and sooner than they would have to."""
        return self._take(await self._accounts.offers(ahead=True))

    def _take(self, offers: Sequence[channels.Offer]) -> list[channels.Offer]:
        found = [offer for offer in offers if offer.sandbox is self._sandbox]
        self.routing_state.offer(found)
        return found

    def open_payer(self, attempt_id: UUID, sealed: bytes | None) -> Mapping[str, str]:
        """What was sealed for a try."""
        if sealed is None:
            return {}
        opened: dict[str, str] = orjson.loads(self._keeper().open(sealed, context=_context(attempt_id)))
        return opened

    def _ask(self, wish: RouteRequest) -> routing.RoutingRequest:
        payer = wish.payer or {}
        return routing.RoutingRequest(
            wish.method,
            wish.amount_minor,
            wish.currency,
            self._clock.now(),
            merchant="" if wish.merchant_id is None else ids.encode("mer", wish.merchant_id),
            institution=payer.get("institution", ""),
            fee_ppm=wish.fee_ppm,
            tried=wish.tried,
            manual=wish.capture_method is CaptureMethod.MANUAL,
            payer=frozenset(payer),
            payment=wish.payment_id,
        )

    def _refusal(
        self, wish: RouteRequest, decision: routing.Decision, offers: Mapping[UUID, channels.Offer]
    ) -> errors.NoRoute | errors.ManualCaptureNotOffered | errors.PayerDetailMissing:
        reasons = {verdict.account_id: verdict.refused for verdict in decision.verdicts}
        for account_id, reason in reasons.items():
            if reason == "payer_detail_missing":
                known = offers[account_id].capabilities.methods[wish.method]
                name = min(known.requires - (wish.payer or {}).keys())
                return errors.PayerDetailMissing(f"payer.{name}: is required by this method", param=f"payer.{name}")
        if "manual_capture_not_offered" in reasons.values():
            return errors.ManualCaptureNotOffered("this method takes the money at once", param="capture_method")
        told = Counter(f"{offers[account].capabilities.channel}: {reason}" for account, reason in reasons.items())
        why = "; ".join(sorted(told)) or "there is no account"
        return errors.NoRoute(f"no channel takes this method, currency and amount now ({why})", param="method")

    def _seal(self, attempt_id: UUID, payer: Mapping[str, str]) -> bytes:
        return self._keeper().seal(orjson.dumps(dict(payer)), context=_context(attempt_id))

    def _keeper(self) -> Vault:
        if self._vault is None:
            raise ConfigurationError("what a payer tells us can be kept only under a secret key")
        return self._vault


def _context(attempt_id: UUID) -> str:
    return f"attempt:{ids.encode('att', attempt_id)}"
