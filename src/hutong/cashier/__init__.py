"""The hosted payment page.

It shows one payment to whoever holds its link: amount, merchant, what it is for, the ways to pay, a code to scan, the
time left, the result as soon as it is known. It decides nothing: what it shows and what a click starts come from the
life cycle behind the `Checkout` protocol. The link's token is the only right it knows; a wrong one gets the same
answer as a payment that does not exist. Every answer forbids inline scripts and styles, frames and foreign content.
"""

from hutong.cashier.checkout import Desk
from hutong.cashier.model import Checkout, CheckoutStatus, CheckoutView
from hutong.cashier.rate_limit import TooManyRequests
from hutong.cashier.routes import TOKEN_HEADER, create_router

__all__ = [
    "TOKEN_HEADER",
    "Checkout",
    "CheckoutStatus",
    "CheckoutView",
    "Desk",
    "TooManyRequests",
    "create_router",
]
