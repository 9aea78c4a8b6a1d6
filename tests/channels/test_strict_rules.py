"""Strict mode: what adapters produce at their limits keeps the published rules, and the simulators refuse the rest."""

from __future__ import annotations

import base64
import copy
import hashlib
import importlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.channels import Http, OrderReference
from hutong.channels.stripe.requests import METHODS
from hutong.clock import SystemClock
from hutong.sandbox.alipay.orders import PAGES
from hutong.sandbox.alipay.simulator import AlipaySimulator
from hutong.sandbox.notifier import Notifier
from hutong.sandbox.registry import SIMULATORS
from hutong.sandbox.rules import Fault, PublishedRules, Rule
from hutong.sandbox.store import Store
from hutong.sandbox.stripe.validation import AMOUNTS
from hutong.sandbox.unionpay.simulator import _PAGES as PAYER_PAGES
from hutong.sandbox.unionpay.simulator import UnionPaySimulator
from support.channel_rigs import Bench, Rig, make_rig
from support.edge_requests import go_through

CHANNELS = ("wechat", "alipay", "stripe", "unionpay")
RIGS = (*CHANNELS, "wechat-partner", "alipay-partner")
RULES: Mapping[str, PublishedRules] = {
    name: importlib.import_module(f"hutong.sandbox.{name}.validation").RULES for name in CHANNELS
}
FOR_CLIENTS = {
    "wechat": {
        "GET /v3/pay/transactions/id/{channel_no}",
        "GET /v3/pay/partner/transactions/id/{channel_no}",
        "POST /v3/merchant-service/complaint-notifications",
        "PUT /v3/merchant-service/complaint-notifications",
    }
}
"""Interfaces that no adapter calls, but clients of the sandbox do."""
FLAT = (".feedback.submit",)
"""Methods of Alipay whose fields are parameters, and so texts."""
SIGNATURES = ("sign", "signature")
PARTS = ("number", "channel_no")
"""Fields that are parts of an address."""


@dataclass
class Seen:
    """The requests that the simulators have checked, by channel and interface, and the rules that they broke."""

    requests: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=lambda: {n: {} for n in CHANNELS})
    broken: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
async def rigs(sandbox_url: str, sandbox_folder: Path, other_folder: Path) -> AsyncIterator[dict[str, Rig]]:
    async with aiohttp.ClientSession() as session, Http.open() as http:
        bench = Bench(sandbox_url, sandbox_folder, other_folder, http, session)
        made = {name: make_rig(name, bench) for name in RIGS}
        made["stripe"].channel = made["stripe"].make(methods=list(METHODS))
        yield made
        for rig in made.values():
            await rig.control.post("reset")


@pytest.fixture(scope="module")
async def seen(rigs: dict[str, Rig], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    made, check, now = Seen(), PublishedRules.violation, SystemClock().now()
    names = {id(rules): name for name, rules in RULES.items()}

    def watched(rules: PublishedRules, interface: str, content: Mapping[str, Any], *, strict: bool = True) -> Any:
        found = check(rules, interface, content, strict=strict)
        requests = made.requests[names[id(rules)]].setdefault(interface, [])
        requests.append(copy.deepcopy({k: v for k, v in content.items() if not k.startswith("_")}))
        if found is not None:
            made.broken.append((names[id(rules)], interface, found.path, found.fault, found.value))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PublishedRules, "violation", watched)
        for rig in rigs.values():
            now = SystemClock().now()  # an order's end may be a minute away
            await go_through(rig, now, tmp_path_factory.mktemp("bills"))
        # Without Stripe's search, which is refused in India, its list is looked through.
        await rigs["stripe"].control.post("next", interface="search", kind="error", status=400, code="", times=1)
        await rigs["stripe"].channel.query(OrderReference("att_of_nobody", "card", 100, "USD", now), now=now)
        await rigs["alipay-partner"].channel._client.obtain_certificate("ab" * 16, now)  # type: ignore[attr-defined]
    return made


async def test_no_request_at_an_adapters_limits_breaks_a_rule(seen: Seen) -> None:
    assert seen.broken == []


@pytest.mark.parametrize("channel", CHANNELS)
async def test_the_rules_are_of_the_interfaces_that_are_called(seen: Seen, channel: str) -> None:
    called = set(seen.requests[channel]) | FOR_CLIENTS.get(channel, set())
    assert called == set(RULES[channel].interfaces)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_each_field_that_an_adapter_sends_has_a_rule(seen: Seen, channel: str) -> None:
    unruled = {
        (interface, ".".join(path))
        for interface, requests in seen.requests[channel].items()
        for request in requests
        for path in leaves(request)
        if not any(covers(rule.split("."), path) for rule in _ruled(channel, interface, request))
    }
    assert unruled == set()


def _ruled(channel: str, interface: str, request: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields of a request that have rules; some of Alipay's methods take theirs beside the public ones."""
    yield from RULES[channel].fields(interface)
    if channel == "alipay" and "sign" in request:
        yield from RULES[channel].fields("gateway.do")
        yield from RULES[channel].fields(request["method"])


@pytest.mark.parametrize("kind", SIMULATORS, ids=lambda kind: kind.channel)
def test_each_interface_of_a_simulator_has_rules(kind: Any, sandbox_folder: Path) -> None:
    """A new interface needs its rules, from the channel's own pages, in `rules.toml` of its simulator."""
    notifier = Notifier(kind.schedule_s, kind.accepted, speed=1.0)
    simulator = kind(sandbox_folder / kind.channel, Store(kind.channel, SystemClock()), notifier)
    own = ("/payer", "/stripe/", "/alipay/", "/connect/", "/sns/")  # pages, and openids: they check what they take
    played = {f"{route.method} {route.path}" for route in simulator.routes() if not route.path.startswith(own)}
    if isinstance(simulator, AlipaySimulator):
        played = {"gateway.do", *PAGES, *simulator._interfaces}
    if isinstance(simulator, UnionPaySimulator):
        works = [route.handler.args[0] for route in simulator.routes() if isinstance(route.handler, partial)]
        played = {"-".join(names) for names in chain(PAYER_PAGES, *works)}
    assert sorted(played) == sorted(RULES[kind.channel].interfaces)


def leaves(content: Any) -> Iterator[list[str]]:
    entries = content.items() if isinstance(content, Mapping) else enumerate(content)
    for name, value in entries:
        if isinstance(value, Mapping | list) and value:
            yield from ([str(name), *more] for more in leaves(value))
        else:
            yield [str(name)]


def covers(rule: list[str], path: list[str]) -> bool:
    return len(rule) == len(path) and all(a in ("*", b) for a, b in zip(rule, path, strict=True))


# The reverse: one request for each way to break each rule.


def faults_of(rule: Rule, channel: str, interface: str) -> set[Fault]:
    """The ways to break a rule that a request to this interface can take."""
    faults = set()
    texts = [limits for limits in (rule.chars, rule.bytes, rule.columns) if limits]
    if rule.required or rule.required_without or rule.required_when or rule.required_from:
        faults.add(Fault.MISSING)
    if rule.type != "string" or _is_json(interface):
        faults.add(Fault.TYPE)
    if texts or rule.entries or rule.names:
        faults.add(Fault.LONG)
    if any(least > 1 for least, _ in texts):
        faults.add(Fault.SHORT)
    if any(least == 1 for least, _ in texts) and channel in ("wechat", "stripe"):
        faults.add(Fault.EMPTY)  # at the others an empty text is none
    if rule.characters or rule.excludes:
        faults.add(Fault.CHARACTERS)
    if rule.pattern:
        faults.add(Fault.FORM)
    if rule.choices:
        faults.add(Fault.CHOICE)
    if rule.range or rule.least_by:
        faults.add(Fault.BELOW)
    if rule.range:
        faults.add(Fault.ABOVE)
    return faults


def values(rule: Rule, good: Any) -> Iterator[Any]:
    """Values that break the rule in one way or the other."""
    yield from (None, 7, "x", "7", "!", "tomorrow", "ftp://pay.example/", "088", "1399", "9" * 24, "")
    text = str(good or "x")
    yield from (text[:-1] + character for character in "_!测~/=&{}[]\"'x🎁")
    for limits in (rule.chars, rule.bytes, rule.columns):
        if limits:
            yield from (character * (limits[1] + 1) for character in "x1")
            yield from (text[: limits[0] - 1], text.ljust(limits[1] + 1, text[-1]))
    if rule.entries or rule.names:
        yield {f"k{place}": "v" for place in range((rule.entries or (0, 0))[1] + 1)}
        yield {"k" * ((rule.names or 0) + 1): "v"}
    least, most = rule.range or (0, 0)
    for value in (least - 1, most + 1, 1, 2, 3):
        yield from (value, str(value), f"{value / 100:.2f}")


def broken(
    channel: str, interface: str, requests: list[dict[str, Any]], done: set[int]
) -> Iterator[tuple[str, Fault, dict[str, Any]]]:
    """Yield a request for each way to break each rule of an interface, once where interfaces share it.

    Each is a changed request of the adapter's, the first change that the checker calls by that name.
    """
    for path, rule in RULES[channel].fields(interface).items():
        if id(rule) in done:
            continue
        done.add(id(rule))
        for fault in sorted(faults_of(rule, channel, interface)):
            if path in PARTS and fault in (Fault.TYPE, Fault.EMPTY):
                continue  # a part of an address is a text
            found = _first(channel, interface, path, rule, fault, requests)
            assert found is not None, f"nothing breaks {channel} {interface} {path} as {fault}"
            yield path, fault, found


def _first(
    channel: str, interface: str, path: str, rule: Rule, fault: Fault, requests: list[dict[str, Any]]
) -> dict[str, Any] | None:
    seeds = sorted(requests, key=lambda request: path.partition(".")[0] not in request)
    for request in (*seeds[:1], *seeds[-1:]):
        at = _place(request, path)
        for value in values(rule, _get(request, at)):
            changed = copy.deepcopy(request)
            for condition in filter(None, (rule.required_from, rule.required_when)):
                _set(changed, condition[0].split("."), condition[1])
            if rule.required_without:
                _set(changed, rule.required_without.split("."), None)
            _set(changed, at, value)
            if value is None and _get(changed, at[:-1]) == {} and not _is_json(interface):
                _fill(changed, RULES[channel].fields(interface), path)
            if value == "" and Fault.EMPTY not in faults_of(rule, channel, interface):
                continue
            if isinstance(value, int) and not _is_json(interface):
                continue
            found = RULES[channel].violation(interface, changed)
            if found is not None and covers(path.split("."), list(found.path)) and found.fault is fault:
                return changed
    return None


def _fill(request: dict[str, Any], rules: Mapping[str, Rule], path: str) -> None:
    """Give a parent that has lost its only field another one, as a form has no empty parts."""
    parent = path.rpartition(".")[0]
    other = next((other for other in rules if other.startswith(f"{parent}.") and other != path), None)
    if other is not None:
        _set(request, _place(request, other), next(iter(rules[other].choices), "x"))


def _is_json(interface: str) -> bool:
    return interface.startswith(("POST /v3/", "PUT /v3/", "alipay.")) and not interface.endswith(FLAT)


def _place(request: dict[str, Any], path: str) -> list[str]:
    """The place of a field; "*" is the first entry, or a new one."""
    place: list[str] = []
    for name in path.split("."):
        parent = _get(request, place)
        first = "0" if isinstance(parent, list) or not parent else next(iter(parent))
        place.append(first if name == "*" else name)
    return place


def _get(request: Any, place: list[str]) -> Any:
    for name in place:
        if isinstance(request, list):
            request = request[int(name)] if int(name) < len(request) else None
        else:
            request = request.get(name) if isinstance(request, Mapping) else None
    return request


def _set(request: Any, place: list[str], value: Any) -> None:
    for name, following in pairwise(place):
        if isinstance(request, list):
            request = request[int(name)]
        else:
            request = request.setdefault(name, [] if following == "0" else {})
    if isinstance(request, list):
        request[int(place[-1]) :] = [] if value is None else [value]
    elif value is None:
        request.pop(place[-1], None)
    else:
        request[place[-1]] = value


async def send(rig: Rig, interface: str, content: dict[str, Any], path: str) -> tuple[str | None, str]:
    """Send a request with a broken field to a simulator, signed; return the code and the text of its refusal."""
    rest = {name: value for name, value in content.items() if name not in SIGNATURES}
    broken = None
    if path in SIGNATURES:
        broken = {path: str(content[path])} if path in content else {}
    return await _SENDERS[rig.control.channel](rig, interface, rest, broken)


async def _to_wechat(rig: Rig, interface: str, content: dict[str, Any], _: Any) -> tuple[str | None, str]:
    method, path = interface.split(" ")
    rest = dict(content)
    for name in PARTS:
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", quote(str(rest.pop(name)), safe=""))
    client: Any = rig.channel._client  # type: ignore[attr-defined]
    target = path if method != "GET" or not rest else f"{path}?{urlencode(rest)}"
    reply = await client.send(method, target, SystemClock().now(), rest if method != "GET" else None)
    answer = json.loads(reply.body)
    return answer.get("code"), answer.get("message", "")


async def _to_alipay(
    rig: Rig, interface: str, content: dict[str, Any], signature: dict[str, str] | None
) -> tuple[str | None, str]:
    channel: Any = rig.channel
    parameters = {name: str(value) for name, value in content.items()}
    if interface == "gateway.do":
        parameters |= {"sign": channel._keys.sign(parameters)} if signature is None else signature
    else:
        flat = interface.endswith(FLAT)
        own = {
            name: value
            for name, value in content.items()
            if not flat or name not in RULES["alipay"].fields("gateway.do")
        }
        parameters = channel._client.signed(interface, own, now=SystemClock().now(), flat=flat)
    async with rig.control.session.post(f"{rig.control.url}/gateway.do", data=parameters) as response:
        [node] = [node for name, node in json.loads(await response.text()).items() if name.endswith("_response")]
    return node.get("sub_code"), str(node.get("sub_msg"))


async def _to_unionpay(
    rig: Rig, interface: str, content: dict[str, Any], signature: dict[str, str] | None
) -> tuple[str | None, str]:
    channel: Any = rig.channel
    fields = {name: str(value) for name, value in content.items()}
    if signature is None:
        signed = "&".join(f"{name}={value}" for name, value in sorted(fields.items()))
        digest = hashlib.sha256(signed.encode()).hexdigest().encode()
        made = channel._keys._private.sign(digest, PKCS1v15(), SHA256())
        signature = {"signature": base64.b64encode(made).decode()}
    paths = {"00-00": "gateway/api/queryTrans.do", "76-01": "unionpay/file/", "01-01": "gateway/api/frontTransReq.do"}
    address = f"{rig.control.url}/{paths.get(interface, 'gateway/api/backTransReq.do')}"
    async with rig.control.session.post(address, data=fields | signature) as response:
        text = await response.text()
    answer = dict(part.split("=", 1) for part in text.split("&")) if "respCode" in text else {"respCode": text[:2]}
    return answer["respCode"], text


async def _to_stripe(rig: Rig, interface: str, content: dict[str, Any], _: Any) -> tuple[str | None, str]:
    method, path = interface.split(" ")
    channel: Any = rig.channel
    form = urlencode(list(_flat(content)))
    address = f"{rig.control.url}{path.replace('{id}', 'pi_nothing')}"
    headers = {"Authorization": channel._keys.authorize(), "Content-Type": "application/x-www-form-urlencoded"}
    query, body = (f"?{form}", b"") if method == "GET" else ("", form.encode())
    async with rig.control.session.request(method, address + query, headers=headers, data=body) as response:
        error = (await response.json()).get("error", {"message": "taken"})
    return error.get("code"), f"{error['message']} {error.get('param')}"


def _flat(content: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    entries = content.items() if isinstance(content, Mapping) else [("", value) for value in content]
    for name, value in entries:
        key = f"{prefix}[{name}]" if prefix else str(name)
        if isinstance(value, Mapping | list):
            yield from _flat(value, key)
        else:
            yield key, str(value)


_SENDERS: Mapping[str, Any] = {
    "wechat": _to_wechat, "alipay": _to_alipay, "unionpay": _to_unionpay, "stripe": _to_stripe,
}  # fmt: skip


def expected(channel: str, interface: str, path: str, fault: Fault, value: Any) -> str | None:
    """The code of the refusal, as the channel gives it."""
    rule = RULES[channel].fields(interface)[path]
    own = rule.codes.get(fault) or rule.code or RULES[channel].interfaces[interface].code
    if channel == "wechat":
        return own or "PARAM_ERROR"
    if channel == "alipay":
        return own or "ACQ.INVALID_PARAMETER"
    if channel == "unionpay":
        return "11" if path in ("certId", "signature") else "13" if fault is Fault.MISSING else "10"
    amount = rule.range == AMOUNTS and fault in (Fault.ABOVE, Fault.BELOW)
    if amount and (fault is Fault.ABOVE or int(value) > 0):
        return "amount_too_large" if fault is Fault.ABOVE else "amount_too_small"
    if fault in (Fault.BELOW, Fault.ABOVE) or (fault is Fault.TYPE and rule.type == "digits" and value != ""):
        return "parameter_invalid_integer"
    empty = "parameter_invalid_empty"
    return {Fault.MISSING: "parameter_missing", Fault.EMPTY: empty, Fault.FORM: "url_invalid"}.get(
        fault, empty if fault is Fault.TYPE and value == "" else None
    )


@pytest.mark.parametrize("channel", CHANNELS)
async def test_each_broken_rule_is_refused_as_the_channel_does(seen: Seen, rigs: dict[str, Rig], channel: str) -> None:
    wrong, done = [], set()
    for interface, requests in seen.requests[channel].items():
        for path, fault, request in broken(channel, interface, requests, done):
            rig = rigs[f"{channel}-partner" if "/partner/" in interface else channel]
            code, text = await send(rig, interface, request, path)
            value = _get(request, _place(request, path))
            if code != expected(channel, interface, path, fault, value) or not is_named(channel, interface, path, text):
                wrong.append((interface, path, fault, value, code, text))
    assert wrong == []


async def test_out_of_strict_mode_only_what_cannot_be_fulfilled_is_refused(seen: Seen, rigs: dict[str, Rig]) -> None:
    interface, rig = "POST /v3/pay/transactions/native", rigs["wechat"]
    number = {"out_trade_no": uuid4().hex}
    order = seen.requests["wechat"][interface][0] | number
    await rig.control.post("faults", strict=False)
    code, _ = await send(rig, interface, order | {"description": "x" * 128}, "description")
    lacking, _ = await send(rig, interface, order | {"description": None}, "description")
    await rig.control.post("reset")
    strictly, _ = await send(rig, interface, order | {"description": "x" * 128}, "description")
    assert (code, lacking, strictly) == (None, "PARAM_ERROR", "PARAM_ERROR")


def is_named(channel: str, interface: str, path: str, text: str) -> bool:
    """Whether a refusal names the field, or what is above it in a form, which has no empty parts."""
    names = [name for name in path.split(".") if name != "*"]
    names[-1] = RULES[channel].fields(interface)[path].published or names[-1]
    return any(name in text for name in names[-2:]) or (channel == "unionpay" and path in ("certId", *SIGNATURES))
