"""Free text for channels: what a channel refuses is replaced, the same way each time, and never the whole text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutong.channels.alipay import requests as alipay
from hutong.channels.free_text import STAND_IN, FreeText
from hutong.channels.unionpay import requests as unionpay
from hutong.channels.wechat import requests as wechat
from hutong.foreign_text import clean_text

SUBJECTS = {"wechat": wechat.SUBJECT, "alipay": alipay.SUBJECT, "unionpay": unionpay.SUBJECT}


@pytest.mark.parametrize(
    ("channel", "text", "sent"),
    [
        ("wechat", "礼物🎁x2", f"礼物{STAND_IN}x2"),
        ("wechat", "a,`b`\nc", "a，'b' c"),
        ("alipay", "a/b=c&d,e🎁", "a／b＝c＆d，e🎁"),
        ("unionpay", "{a}&[b]='🎁", f"｛a｝＆［b］＝＇{STAND_IN}"),
        ("unionpay", "'c'\"茶茶茶茶茶茶茶茶茶", "＇c＇＂茶茶茶茶茶茶茶"),
        ("wechat", "茶" * 60, "茶" * 42),
        ("alipay", "茶" * 150, "茶" * 128),
        ("wechat", "🎁", STAND_IN),
        ("wechat", "x" * 126 + " yz", "x" * 126),
        ("alipay", " \t" * 200 + "tea", "tea"),
        ("unionpay", "te\u200da\x00\x1b[1m", "tea［1m"),
    ],
)
def test_what_a_channel_refuses_is_replaced(channel: str, text: str, sent: str) -> None:
    assert SUBJECTS[channel].fit(text) == sent


@pytest.mark.parametrize("channel", SUBJECTS)
@given(text=st.text(min_size=1, max_size=400))
def test_a_text_fits_in_one_way_and_is_never_lost(channel: str, text: str) -> None:
    rule = SUBJECTS[channel]
    sent = rule.fit(text)
    assert rule.fit(sent) == sent
    assert len(sent) <= rule.length_max
    assert not set(sent) & (set(rule.replaced) | set("\t\n\r\0"))
    assert not rule.basic_only or all(character <= "\uffff" for character in sent)
    try:
        clean_text(text)
    except ValueError:
        return
    assert sent, "a text that the interface takes has become empty"


def test_nothing_else_changes() -> None:
    plain = FreeText(20)
    assert plain.fit("Tea, 茶/é `&=` 🎁") == "Tea, 茶/é `&=` 🎁"
