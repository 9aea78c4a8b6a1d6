"""The one form of rows: the columns that both sides have in Parquet, whatever file or table they came from.

Amounts are signed minor units from our side: a payment is above zero, a refund, a payout and money taken for a dispute
below it. A fee above zero is one that we pay; the net of a row is `settled - fee`.
"""

from __future__ import annotations

from collections.abc import Mapping

ROW_COLUMNS: Mapping[str, str] = {
    "kind": "VARCHAR",
    "key": "VARCHAR",
    "channel_no": "VARCHAR",
    "original_key": "VARCHAR",
    "merchant": "VARCHAR",
    "day": "DATE",
    "at": "TIMESTAMP",
    "currency": "VARCHAR",
    "ordered": "BIGINT",
    "paid": "BIGINT",
    "settled": "BIGINT",
    "fee": "BIGINT",
    "state": "VARCHAR",
    "batch": "VARCHAR",
    "settle_day": "DATE",
    "memo": "VARCHAR",
    "reference": "VARCHAR",
    "file": "INTEGER",
    "line": "BIGINT",
}
"""Name and DuckDB type, in this order. None is NULL but `at`, `fee` and `settle_day`; a text that is missing is empty.

key: Our number of the attempt, refund, payout or dispute at the channel.
channel_no: The channel's own number. original_key: Of a refund or a dispute, our number of the payment.
merchant: Ours: the merchant's public id. Theirs: the merchant's number that the row or the file names.
day: The party's own day. at: In UTC.
batch: The settlement batch, or the group key of a bank entry.
memo: The free text of a bank entry. reference: Ours: the public id of the payment, refund or dispute.
file, line: Where the row came from: the place of the file in the run's list of inputs, and the line or row, from 1.
"""

MONEY_COLUMNS = ("ordered", "paid", "settled", "fee")
