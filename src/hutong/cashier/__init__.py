"""The hosted payment page.

It shows one payment to the holder of its link: amount, merchant, subject, the methods offered, a code to scan, the time
left, and the result as soon as it is known. It decides nothing: its content, and the effect of a click, come from the
life cycle behind the `Checkout` protocol. The link's token is the only credential; a wrong one gets the same answer as
a payment that does not exist. A merchant's payment link is public: it creates payments and shows none. Every answer
forbids inline scripts and styles, frames and foreign content.
"""

from hutong.cashier.checkout import PaymentCheckout
from hutong.cashier.link_pages import Paper, Poster
from hutong.cashier.links import LinkPayments, create_link_router
from hutong.cashier.logos import create_logo_router
from hutong.cashier.routes import create_router

__all__ = [
    "LinkPayments",
    "Paper",
    "PaymentCheckout",
    "Poster",
    "create_link_router",
    "create_logo_router",
    "create_router",
]
