"""The till: a page at which a merchant takes payments by the codes that payers show.

Promises: the merchant's key stays in the page's memory; every payment goes through the API, as any merchant's does.
"""

from hutong.till.routes import create_router

__all__ = ["create_router"]
