"""What the channels know and a database restored to an earlier time does not: listed, and adopted.

Promises: nothing is adopted under a number that does not prove whose it is; nothing is sent to a channel that knows it.
"""

from hutong.payments.restored.adoption import Adoption, LostOrder
from hutong.payments.restored.documents import catch_up_document
from hutong.payments.unknown_numbers import query_everything_open

__all__ = ["Adoption", "LostOrder", "catch_up_document", "query_everything_open"]
