"""The page of a payment link, and its poster."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hutong import ids, merchants
from hutong.cashier import assets, formatting, page, qr, theme
from hutong.cashier.link_texts import LINK_TEXTS
from hutong.cashier.translations import LANGUAGES, Translations
from hutong.merchants import payment_links

DEFAULT_COLOR = "#14171c"


class Paper(StrEnum):
    """Sizes of a poster."""

    A4 = "A4"
    A6 = "A6"


_MILLIMETERS = {Paper.A4: (210, 297, 6.2), Paper.A6: (105, 148, 3.0)}
"""Width, height, and the size of the text."""


def render_link(
    link: payment_links.PaymentLink,
    merchant: merchants.Merchant,
    texts: Translations,
    *,
    entered: str | None,
    sandbox: bool,
) -> str:
    """Render the page of a link.

    Args:
        entered: What a payer has entered that is no amount of this link; None the first time.
    """
    least, most = (formatting.amount(amount, link.currency) for amount in (link.least_minor, link.most_minor))
    link_texts = LINK_TEXTS[texts.code]
    name = formatting.display(merchant.name, limit=120)
    return page.template("link.html").render(
        texts=texts,
        link_texts=link_texts,
        languages=LANGUAGES.values(),
        assets=assets.assets(),
        theme=None if merchant.color is None else theme.of_color(merchant.color),
        merchant=name,
        monogram=formatting.monogram(name),
        logo_url=None if merchant.logo is None else f"/pay/logos/{merchant.logo}",
        subject=formatting.display(link.subject, limit=300),
        action=f"/link/{ids.encode(payment_links.PREFIX, link.link_id)}?lang={texts.code}",
        fixed=most if link.has_fixed_amount else None,
        unit=most.symbol or most.code,
        between=link_texts.between.format(least=least, most=most),
        refused=entered is not None,
        entered=formatting.display(entered or "", limit=20),
        sandbox=sandbox,
    )


@dataclass(frozen=True, slots=True)
class Poster:
    """A poster to print.

    Attributes:
        url: The address of the link, which the code carries.
        wallets: What payers may pay with, as the cashier names them.
        languages: "en", "zh", in the order in which they are printed.
    """

    link: payment_links.PaymentLink
    merchant: merchants.Merchant
    url: str
    logo: tuple[str, bytes] | None = None
    wallets: Sequence[str] = ()
    languages: Sequence[str] = ("zh", "en")
    paper: Paper = Paper.A6
    sandbox: bool = False

    def render(self) -> str:
        """Return the poster as one HTML file without anything from elsewhere, which a browser prints on one sheet."""
        width, height, size = _MILLIMETERS[self.paper]
        shown = [LANGUAGES[code] for code in self.languages]
        amount = formatting.amount(self.link.most_minor, self.link.currency) if self.link.has_fixed_amount else None
        logo = None
        if self.logo is not None:
            media_type, content = self.logo
            logo = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        return page.template("poster.html").render(
            tags=[texts.tag for texts in shown],
            texts=[LINK_TEXTS[texts.code] for texts in shown],
            merchant=formatting.display(self.merchant.name, limit=120),
            subject=formatting.display(self.link.subject, limit=300),
            amount=amount,
            logo=logo,
            code=qr.picture(self.url),
            url=self.url,
            wallets=[page.offered_method(name, shown[0], wallet=name) for name in self.wallets],
            color=self.merchant.color or DEFAULT_COLOR,
            sandbox=" ".join(texts.sandbox for texts in shown) if self.sandbox else None,
            width_mm=width,
            height_mm=height,
            size_mm=size,
        )
