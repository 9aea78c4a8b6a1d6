"""A program of a merchant at the simulated WeChat Pay."""

from __future__ import annotations

import base64
import secrets
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from hutong.clock import ManualClock
from hutong.sandbox.wechat.keys import APPID, MCHID, WeChatSandboxKeys

SPEED = 1_000_000
PLACE = "/v3/pay/transactions/native"


class Merchant:
    """A merchant's program, signing by the published rules, apart from the adapter."""

    def __init__(self, session: aiohttp.ClientSession, url: str, keys: WeChatSandboxKeys, clock: ManualClock) -> None:
        self.session, self.url, self.keys, self.clock = session, url, keys, clock

    def authorization(self, method: str, target: str, body: bytes, **changed: Any) -> str:
        key: RSAPrivateKey = changed.get("key", self.keys.merchant.key)
        authorization = {
            "mchid": MCHID,
            "nonce_str": secrets.token_hex(8),
            "timestamp": str(int(self.clock.now().timestamp())),
            "serial_no": self.keys.merchant.serial,
        } | {name: value for name, value in changed.items() if name != "key"}
        message = (
            f"{method}\n{target}\n{authorization['timestamp']}\n{authorization['nonce_str']}\n".encode() + body + b"\n"
        )
        authorization["signature"] = base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()
        return "WECHATPAY2-SHA256-RSA2048 " + ",".join(f'{name}="{value}"' for name, value in authorization.items())

    async def send(self, method: str, target: str, content: Any = None, **headers: str) -> tuple[int, Any]:
        body = b"" if content is None else content if isinstance(content, bytes) else orjson.dumps(content)
        sent = {
            "Authorization": self.authorization(method, target, body),
            "Accept": "application/json",
            "Content-Type": "application/json",
        } | headers
        async with self.session.request(method, self.url + target, data=body, headers=sent) as response:
            text = await response.read()
            return response.status, orjson.loads(text) if text else None

    def order(self, **changed: Any) -> dict[str, Any]:
        return {
            "appid": APPID,
            "mchid": MCHID,
            "description": "tea",
            "out_trade_no": uuid4().hex,
            "notify_url": "http://127.0.0.1:1/notify",
            "amount": {"total": 100, "currency": "CNY"},
        } | changed

    async def place(self, **changed: Any) -> dict[str, Any]:
        order = self.order(**changed)
        status, answer = await self.send("POST", PLACE, order)
        assert status == 200, answer
        return order | answer

    async def state(self, order: dict[str, Any]) -> str:
        _, answer = await self.send("GET", f"/v3/pay/transactions/out-trade-no/{order['out_trade_no']}?mchid={MCHID}")
        return answer["trade_state"]

    async def control(self, path: str, **fields: Any) -> tuple[int, Any]:
        async with self.session.post(f"{self.url}/control/wechat/{path}", json=fields) as response:
            return response.status, await response.json()

    async def shown(self, path: str) -> Any:
        async with self.session.get(f"{self.url}/control/wechat/{path}") as response:
            return await response.json()
