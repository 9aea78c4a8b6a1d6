"""A merchant's color on the page: readable and visible, whatever it is."""

from __future__ import annotations

import re

from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from hutong.cashier import theme
from support.fakes.checkout import MemoryCheckout

COLORS = st.binary(min_size=3, max_size=3).map(lambda value: f"#{value.hex()}")
CARDS = [(255, 255, 255), (22, 25, 30)]


def color(text: str) -> theme.Color:
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def test_contrast_is_that_of_the_standard() -> None:
    assert theme.contrast((0, 0, 0), (255, 255, 255)) == 21
    assert round(theme.contrast(color("#777777"), (255, 255, 255)), 2) == 4.48
    assert theme.contrast((9, 9, 9), (9, 9, 9)) == 1


@given(COLORS)
def test_any_color_is_read_on_its_buttons_and_stands_out_from_its_ground(chosen: str) -> None:
    rules = re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", theme.of_color(chosen).body.decode())
    assert [name for name, _ in rules] == ["button", "on-button", "button-over", "accent"] * 2
    for card, values in zip(CARDS, (rules[:4], rules[4:]), strict=True):
        button, text, over, accent = (color(value) for _, value in values)
        assert theme.contrast(text, button) >= 4.5
        assert theme.contrast(text, over) >= 4.5
        assert theme.contrast(button, card) >= 3
        assert accent == button


def test_a_color_that_is_visible_stays_as_it_is() -> None:
    assert "--button: #c8102e;" in theme.of_color("#c8102e").body.decode()


async def test_a_page_links_the_style_of_its_merchants_color(http: ClientSession, checkout: MemoryCheckout) -> None:
    link = checkout.create(color="#c8102e", logo="ab" * 32)
    async with http.get(link.page()) as answer:
        html = await answer.text()
    url, integrity = re.findall(r'href="(/pay/themes/[^"]+)" integrity="([^"]+)"', html)[0]
    assert f'<img class="logo" src="/pay/logos/{"ab" * 32}"' in html
    async with http.get(url) as answer:
        assert (answer.status, answer.content_type) == (200, "text/css")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "#c8102e" in await answer.text()
    assert integrity == theme.of_color("#c8102e").integrity
    for wrong in (url.replace("c8102e", "c8102f"), "/pay/themes/c8102e.css", "/pay/themes/zzzzzz.0123456789abcdef.css"):
        async with http.get(wrong) as answer:
            assert answer.status == 404
