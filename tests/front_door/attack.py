"""How a normal client of a whole `hutong serve` fares while others attack: its 99th percentile alone, and under each.

Run by `make attack`; CONNECTIONS=10000 is how many there are at once, from twenty addresses of this machine. The client
creates payments and reads them, one request after another.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from campaigns.installation import Installation, Layout

SPAWN = multiprocessing.get_context("spawn")
"""An attacker begins as a fresh process: it shares nothing with the loop that starts it."""
_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
ATTACKS: dict[str, Callable[[int], bytes]] = {
    "idle": lambda _: b"",
    "slow heads": lambda turn: _HEAD if turn == 0 else b"X: 1\r\n"[turn % 6 : turn % 6 + 1],
    "endless heads": lambda turn: _HEAD if turn == 0 else b"X: " + b"a" * 4096,
    "pipelined": lambda _: (_HEAD + b"\r\n") * 50,
}


async def _p99(session: aiohttp.ClientSession, address: str, count: int) -> float:
    times = []
    for number in range(count):
        started = time.perf_counter()
        order = {
            "merchant_order_no": secrets.token_hex(12),
            "amount_minor": 100 + number,
            "currency": "CNY",
            "subject": "tea",
        }
        async with session.post(f"{address}/v1/payments", json=order) as made:
            payment = await made.json()
            assert made.status == 201, payment
        times.append(time.perf_counter() - started)
        started = time.perf_counter()
        async with session.get(f"{address}/v1/payments/{payment['id']}") as read:
            assert read.status == 200, await read.text()
        times.append(time.perf_counter() - started)
        await asyncio.sleep(0.002)
    return sorted(times)[len(times) * 99 // 100] * 1000


def attack(port: int, name: str, connections: int, ready: Callable[[], None]) -> None:
    """Hold so many connections in another process; each sends its next bytes every ten seconds or less."""
    held = []
    for number in range(connections):
        client = socket.socket()
        client.bind((f"127.0.0.{2 + number % 20}", 0))
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        held.append(client)
    ready()
    turn = 0
    while True:
        for client in held:
            try:
                client.send(ATTACKS[name](turn))
            except OSError:
                continue  # it was ended, or it does not read what was answered
            time.sleep(10 / connections)
        turn += 1


async def _measure(folder: Path, connections: int, count: int) -> list[dict[str, Any]]:
    """Return for each attack how many connections it held, and the client's 99th percentile before and under it."""
    found: list[dict[str, Any]] = []
    async with Installation(folder, Layout()).running() as installation:
        key = await installation.create_merchant()
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
            await _p99(session, installation.address, count // 2)
            for kind in ATTACKS:
                number = connections if kind == "idle" else connections // 10
                alone = await _p99(session, installation.address, count)
                ready = SPAWN.Event()
                arguments = (installation.port, kind, number, ready.set)
                attacker = SPAWN.Process(target=attack, args=arguments, daemon=True)
                attacker.start()
                while not ready.is_set():  # noqa: ASYNC110 - another process sets it
                    await asyncio.sleep(0.05)
                under = await _p99(session, installation.address, count)
                attacker.kill()
                attacker.join()
                await asyncio.sleep(2)
                found.append({"attack": kind, "connections": number, "alone_ms": alone, "under_ms": under})
    return found


def _is_fair(figures: dict[str, Any]) -> bool:
    """Whether the percentile is at most twice that of a quiet server. Pipelined requests are work: they count apart."""
    return figures["attack"] == "pipelined" or bool(figures["under_ms"] <= 2 * figures["alone_ms"])


def main() -> int:
    """Measure and print; status 1 if an attack more than doubles the percentile."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ht-") as folder:
        Path(folder).chmod(0o755)  # the database's user passes through
        found = uvloop.run(_measure(Path(folder), arguments.connections, arguments.requests))
    if arguments.json:
        print(json.dumps({"load": os.getloadavg()[0], "attacks": found}))
    else:
        for each in found:
            print(
                f"{each['attack']:<14} {each['connections']:>6} connections: "
                f"p99 {each['alone_ms']:.1f} ms alone, {each['under_ms']:.1f} ms under it"
            )
        print(f"load average {os.getloadavg()[0]:.1f}")
    return 0 if all(map(_is_fair, found)) else 1


if __name__ == "__main__":
    sys.exit(main())
