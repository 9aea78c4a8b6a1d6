"""Logs: no secret reaches them, and what is no secret stays readable."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import structlog

from hutong.ids import encode
from hutong.telemetry import RareLine, configure_logging, get_logger, mask

CARD = "4111111111111111"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\nabc\n-----END PRIVATE KEY-----"


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Logs, and gives back what was written as (logger, read)."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging(level="info")
    yield get_logger("test"), lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "secret",
    ["sk_live_4eC39HqLyjWDarjtT1zdp7dc", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
     "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", PEM, PEM[:40], CARD,
     "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "3782 822463 10005", "6222021234567890128",
     "11010519491231002X", "Bearer abcdef.ghi", "password=hunter22", '"api_key": "hunter22"', "apiv3_key: hunter22",
     "token='hunter22'", "cvv=123", "client_secret=hunter22&x=1", "postgresql://postgres:hunter22@/hutong?host=/x",
     'signature="hunter22"', "Set-Cookie: session", "X-Api-Key: hunter22"],
)  # fmt: skip
def test_a_secret_in_a_text_is_masked(secret: str) -> None:
    masked = mask(f"before ({secret}) after")
    assert "[masked]" in masked
    assert masked.startswith("before (")
    for part in ("hunter22", "4eC39", "MIIEvQ", "MfKQ9", "1111", "822463", "abcdef", "session", "949123", "=123"):
        assert part not in masked or part not in secret


@pytest.mark.parametrize(
    "text",
    ["payment pay_01h455vb4pex5vsknk084sn02q of 1999 CNY", "1767225600000", "1767225600000000000", "4111111111111112",
     "amount_minor=4200000000", "20260101123456789012", "4200001234202601011234567890", "risk_decisions_made",
     "task_queue_is_long", "2026-01-01T12:00:00+08:00", "01890a5d-ac96-774b-bcce-b302099a8057", "1111111111111111",
     "https://example.com/pay/01h455?x=1", "11010519491231002", "110105194912310021", "tokenizer=fast", "company: acme",
     "127.0.0.1:8080", "shipping: none", "user@example.com"],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text


def test_every_id_stays() -> None:
    for number in range(3000):
        identifier = UUID(int=(0x0190_0000_0000 + number) << 80 | 7 << 76 | 2 << 62 | number * 7919)
        assert mask(text := f"{encode('pay', identifier)} {identifier}") == text


def test_secrets_are_masked_by_name_and_by_value_however_deep(log: Any) -> None:
    logger, read = log
    logger.warning(
        "call_failed",
        Authorization="abc-1",
        body={"inner": [{"apiv3_key": "abc-2", "note": f"card {CARD}"}, ("password=abc-3",)], "Cookie": ["abc-4"]},
        raw=b"token=abc-5",
        error=ValueError("secret: abc-6"),
        card=int(CARD),
        amount_minor=1999,
        payment="pay_01h455vb4pex5vsknk084sn02q",
        identifier=UUID(int=7),
        ok=True,
        nothing=None,
    )
    written = read()
    assert "abc-" not in written
    assert CARD not in written
    event = json.loads(written)
    assert event["event"] == "call_failed"
    assert event["module"] == "test"
    assert event["amount_minor"] == 1999
    assert event["payment"] == "pay_01h455vb4pex5vsknk084sn02q"
    assert event["identifier"] == str(UUID(int=7))
    assert (event["ok"], event["nothing"]) == (True, None)
    assert event["body"]["inner"][0]["note"] == "card [masked]"


def test_secrets_are_masked_in_traces(log: Any) -> None:
    logger, read = log
    try:
        raise ValueError("connecting to postgresql://me:hunter22@db/x with sk_live_abcdefgh12345")
    except ValueError:
        logger.exception("failed")
    written = read()
    assert "ValueError" in written
    assert "hunter22" not in written
    assert "sk_live" not in written


def test_secrets_are_masked_in_what_libraries_log(log: Any) -> None:
    _, read = log
    try:
        raise ValueError("password=hunter22")
    except ValueError:
        logging.getLogger("library").exception("with %s", "whsec_abcdefghijkl")
    logging.getLogger("library").info("not written")
    written = read()
    (line,) = written.splitlines()
    assert json.loads(line)["event"] == "with [masked]"
    assert "hunter22" not in written


def test_a_value_that_contains_itself_is_written(log: Any) -> None:
    logger, read = log
    endless: dict[str, Any] = {"password": "hunter22"}
    endless["again"] = endless
    logger.warning("endless", body=endless, strange="\ud800")
    assert "hunter22" not in read()


def test_the_level_and_the_form_are_chosen(log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", output := io.StringIO())
    configure_logging(level="error", output="console")
    logger = get_logger("other")
    logger.warning("quiet")
    logger.error("loud", password="hunter22")
    written = output.getvalue()
    assert "quiet" not in written
    assert "loud" in written
    assert "hunter22" not in written


def test_a_log_that_is_full_stops_nothing() -> None:
    program = (
        "from hutong.telemetry import configure_logging, get_logger; import logging; configure_logging();"
        "get_logger('x').error('one'); logging.getLogger('y').error('two'); print('done')"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, text=True, check=False
        )
    assert done.stdout == "done\n"


def test_a_rare_line_is_written_once_a_minute_with_the_number_of_those_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = RareLine(get_logger("x"), "error", "rare")
    for seconds in (0.0, 1.0, 59.0, 60.0, 61.0):
        monkeypatch.setattr("hutong.telemetry.rare_line.monotonic", partial(float, seconds))
        line.write(at=seconds)
    shown = [json.loads(each) for each in capsys.readouterr().err.splitlines()]
    assert [(each["event"], each["at"], each["left_out"]) for each in shown] == [("rare", 0.0, 0), ("rare", 60.0, 2)]
