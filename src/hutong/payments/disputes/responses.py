"""Merchants' responses to disputes: written first, sent then, and sent again until the channel has decided."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from hutong import channels, db, idempotency, ids
from hutong.channels import Notification
from hutong.clock import Clock
from hutong.errors import InvalidParameter, NotFound, Unavailable
from hutong.foreign_text import storable_text
from hutong.payments.disputes import errors
from hutong.payments.disputes.lifecycle import Disputes
from hutong.payments.disputes.model import (
    QUERY_WHEN_DUE,
    RESPONSE_PREFIX,
    Dispute,
    DisputeEventType,
    Response,
    ResponseState,
)
from hutong.payments.disputes.record import DISPUTE_ENDED, Recording
from hutong.payments.disputes.store import find_disputes, lock_disputes, save_dispute
from hutong.payments.model import Payment, PaymentEvent, Source
from hutong.payments.statements import sql
from hutong.payments.store import write_timeline
from hutong.payments.timeline import TimelineEntry
from hutong.vault import Vault

Render = Callable[[Dispute], idempotency.StoredAnswer]
"""Renders the answer to a request, which is stored under its idempotency key."""


@dataclass(frozen=True, slots=True)
class Respond:
    """A merchant's response and, if it came with one, its idempotency key.

    Attributes:
        evidence: Texts by the names in `DisputeRule.evidence`, or in `accepting` where the merchant accepts.
    """

    dispute_id: UUID
    evidence: Mapping[str, str]
    accepts: bool
    claim: idempotency.Claim | None = None

    @property
    def digest(self) -> bytes:
        """What tells a repeated response from another one."""
        content = [self.accepts, dict(self.evidence)]
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


class DisputeResponses:
    """Takes merchants' responses and sends them.

    Args:
        vault: Seals the evidence until the channel has decided about it; without one there are no responses.
    """

    def __init__(
        self,
        database: db.Database,
        accounts: channels.Accounts,
        disputes: Disputes,
        recording: Recording,
        *,
        clock: Clock,
        vault: Vault | None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._disputes = disputes
        self._recording = recording
        self._clock = clock
        self._vault = vault

    async def respond(self, command: Respond, render: Render) -> Dispute | idempotency.StoredAnswer:
        """Answer a dispute, or accept it: written and committed first, and sent then.

        Repeat:
            The same response while it is being sent is sent again, under the same number. A repeated idempotency key
            gets the first answer.

        Returns:
            The dispute, its last response `taken`, `refused` or still `sending`; or the answer that is stored.

        Errors:
            NotFound. DisputeResponseNotOffered, DisputeEvidenceRefused, DisputeEnded, DisputeAnswersExceeded,
            DisputeResponseInProgress: nothing was sent. KeyReused, KeyInFlight.
        """
        async with self._database.transaction() as tx:
            dispute = (await find_disputes(tx, [command.dispute_id])).get(command.dispute_id)
        if dispute is None:
            raise NotFound("no dispute has this id")
        rule = (await self._accounts.get(dispute.account_id)).capabilities.disputes
        check_response(rule, command)
        assert rule is not None, "checked above"
        now = self._clock.now()
        async with idempotency.Release(self._database, command.claim, since=now) as key:

            async def work(tx: db.Tx) -> idempotency.OnceResult[UUID]:
                (result,) = await idempotency.once(
                    tx,
                    [command],
                    now=now,
                    create=lambda _: self._intend(tx, command, rule, now=now),
                    answer=lambda _command, _result: idempotency.Unstored.WAITS,
                )
                return result

            placed = await self._database.run(work)
            if placed.result is None:
                stored = placed.stored()
                assert stored is not None, "a key in flight is refused"
                return stored
            key.is_claimed = True
            await self.send(command.dispute_id)
            return await self._answered(command, render)

    async def _answered(self, command: Respond, render: Render) -> Dispute | idempotency.StoredAnswer:
        async def store(tx: db.Tx) -> Dispute | idempotency.StoredAnswer:
            after = (await find_disputes(tx, [command.dispute_id]))[command.dispute_id]
            if command.claim is None:
                return after
            (stored,) = await idempotency.store(tx, [(command.claim, render(after))])
            return stored

        return await self._database.run(store)

    async def _intend(
        self, tx: db.Tx, command: Respond, rule: channels.disputes.DisputeRule, *, now: datetime
    ) -> list[UUID]:
        """Write the intent of a response; return its id, or that of the same one that is being sent."""
        payment, dispute = (await lock_disputes(tx, [command.dispute_id]))[command.dispute_id]
        if dispute.is_final:
            raise errors.DisputeEnded(f"the dispute is {dispute.state.value}")
        for response in dispute.responses:
            if response.state is ResponseState.SENDING:
                if await sql.response_digest.fetchval(tx, response.response_id) == command.digest:
                    return [response.response_id]
                raise errors.DisputeResponseInProgress("another answer to this dispute is being sent")
        answers = [r for r in dispute.responses if not r.accepts and r.state is not ResponseState.REFUSED]
        if not command.accepts and rule.answers is not None and len(answers) >= rule.answers:
            raise errors.DisputeAnswersExceeded(f"the channel takes {rule.answers} answers for one dispute, no more")
        response_id = self._recording.new_id()
        await sql.insert_dispute_response.execute(
            tx,
            id=response_id,
            dispute_id=dispute.dispute_id,
            accepts=command.accepts,
            digest=command.digest,
            evidence=self._seal(response_id, command.evidence),
            now=now,
        )
        # A process that dies before it has sent it leaves the dispute due.
        dispute.next_query_at = now + QUERY_WHEN_DUE
        await save_dispute(tx, dispute)
        await self._note(tx, payment, "dispute.accept_requested" if command.accepts else "dispute.answered", now=now)
        return [response_id]

    async def send(self, dispute_id: UUID) -> bool | None:
        """Send the response of a dispute that the channel has not decided about, for the first time or again.

        Returns:
            Whether the channel has decided; None if nothing was to be sent.
        """
        async with self._database.transaction() as tx:
            row = await sql.response_to_send.fetchrow(tx, dispute_id)
        if row is None:
            return None
        channel = await self._accounts.get(row["account_id"])
        response = channels.disputes.DisputeResponse(
            ids.encode(RESPONSE_PREFIX, row["id"]),
            row["dispute_no"],
            self._open(row["id"], row["evidence_sealed"]),
            row["accepts"],
        )
        now = self._clock.now()
        try:
            answer = await channel.respond_to_dispute(response, now=now)
        except (channels.NotOffered, InvalidParameter) as error:
            # Nothing was sent, and nothing ever will be.
            refused = channels.disputes.ResponseOutcome.REFUSED
            answer = channels.disputes.ResponseAnswer(refused, error.code, error.detail[:256])
        if answer.outcome is channels.disputes.ResponseOutcome.UNKNOWN:
            return False
        await self._database.run(lambda tx: self._finish(tx, dispute_id, row["id"], answer, now=now))
        if answer.report is not None:
            stated = channels.ChannelAnswer(channels.ChannelState.UNKNOWN)
            report = Notification(row["dispute_no"], stated, channels.About.DISPUTE, dispute=answer.report)
            await self._disputes.take(row["account_id"], report, Source.SUBMISSION)
        return True

    async def _finish(
        self,
        tx: db.Tx,
        dispute_id: UUID,
        response_id: UUID,
        answer: channels.disputes.ResponseAnswer,
        *,
        now: datetime,
    ) -> None:
        """Record what the channel has decided about a response, once; the evidence is not kept longer."""
        payment, dispute = (await lock_disputes(tx, [dispute_id]))[dispute_id]
        response = next(each for each in dispute.responses if each.response_id == response_id)
        if response.state is not ResponseState.SENDING and response.channel_code != DISPUTE_ENDED:
            return
        state = ResponseState(answer.outcome.value)
        response.state, response.finished_at = state, now
        response.channel_code = storable_text(answer.channel_code, 64)
        response.channel_message = storable_text(answer.channel_message, 256)
        await sql.finish_dispute_response.execute(tx, rows=[response])
        if dispute.next_query_at is not None:
            dispute.next_query_at = now  # the channel is asked at once how it goes on
            await save_dispute(tx, dispute)
        await self._note(tx, payment, f"dispute.response_{state.value}", response, now=now)
        event = PaymentEvent(DisputeEventType.UPDATED, payment, dispute=dispute)
        await self._recording.documents.emit(tx, [event], new_id=self._recording.new_id, now=now)

    async def _note(
        self, tx: db.Tx, payment: Payment, what: str, response: Response | None = None, *, now: datetime
    ) -> None:
        code = None if response is None else response.channel_code
        await write_timeline(tx, [TimelineEntry(payment.payment_id, what, channel_code=code)], now=now)

    def _seal(self, response_id: UUID, evidence: Mapping[str, str]) -> bytes:
        if self._vault is None:
            raise InvalidParameter("responses to disputes need `HUTONG_SECRET_KEY`", param="evidence")
        return self._vault.seal(orjson.dumps(dict(evidence)), context=_context(response_id))

    def _open(self, response_id: UUID, sealed: bytes) -> Mapping[str, str]:
        if self._vault is None:
            raise Unavailable("this process cannot open the evidence of the response")
        opened: dict[str, str] = orjson.loads(self._vault.open(sealed, context=_context(response_id)))
        return opened


def check_response(rule: channels.disputes.DisputeRule | None, command: Respond) -> None:
    """Check a response against what its channel takes.

    Errors:
        DisputeResponseNotOffered, DisputeEvidenceRefused.
    """
    if rule is None or (command.accepts and not rule.accepts):
        verb = "be accepted" if command.accepts else "be answered"
        raise errors.DisputeResponseNotOffered(f"disputes of this channel cannot {verb} by interface")
    taken = {name: rule.evidence[name] for name in rule.accepting} if command.accepts else rule.evidence
    required = {name for name, must in rule.accepting.items() if must} if command.accepts else rule.required
    for name, text in command.evidence.items():
        param = f"evidence.{name}"
        longest = taken.get(name)
        if longest is None:
            known = ", ".join(f"`{each}`" for each in sorted(taken)) or "none with that"
            raise errors.DisputeEvidenceRefused(
                f"`{param}` is not taken by this channel, which takes {known}", param=param
            )
        if len(text) > longest:
            raise errors.DisputeEvidenceRefused(f"`{param}` has more than {longest} characters", param=param)
    for name in sorted(required - command.evidence.keys()):
        raise errors.DisputeEvidenceRefused(f"`evidence.{name}` is required by this channel", param=f"evidence.{name}")
    if not command.evidence and not command.accepts:
        raise errors.DisputeEvidenceRefused("`evidence` has no text", param="evidence")


def _context(response_id: UUID) -> str:
    return f"dispute_evidence:{ids.encode(RESPONSE_PREFIX, response_id)}"
