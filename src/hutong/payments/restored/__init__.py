"""The orders and refunds that channels know and a restored database does not: listed, and adopted.

Promises: nothing is adopted under a number that does not prove whose it is; nothing is sent to a channel that knows it;
a bill credits nothing; normal work never begins by itself while anything is open.
"""

from hutong.payments.restored.adoption import Adoption, LostOrder
from hutong.payments.restored.bills import BillFindings, finish_when_complete, read_bill
from hutong.payments.restored.documents import catch_up_document
from hutong.payments.restored.fetching import dismiss_bill, fetch_lost_bills
from hutong.payments.unknown_numbers import dismiss_number, query_everything_open

__all__ = [
    "Adoption",
    "BillFindings",
    "LostOrder",
    "catch_up_document",
    "dismiss_bill",
    "dismiss_number",
    "fetch_lost_bills",
    "finish_when_complete",
    "query_everything_open",
    "read_bill",
]
