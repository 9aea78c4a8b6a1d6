"""How a normal client fares while others attack: its 99th percentile alone, and under each attack.

Run by `make attack`; CONNECTIONS=10000 is how many there are at once, from twenty addresses of this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable

import uvloop

from front_door.conftest import serve_uvicorn
from hutong.front_door import Bounds

_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
ATTACKS: dict[str, Callable[[int], bytes]] = {
    "idle": lambda _: b"",
    "slow heads": lambda turn: _HEAD if turn == 0 else b"X: 1\r\n"[turn % 6 : turn % 6 + 1],
    "endless heads": lambda turn: _HEAD if turn == 0 else b"X: " + b"a" * 4096,
    "pipelined": lambda _: (_HEAD + b"\r\n") * 50,
}


async def _p99(port: int, count: int) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times = []
    for _ in range(count):
        started = time.perf_counter()
        writer.write(_HEAD + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        times.append(time.perf_counter() - started)
        await asyncio.sleep(0.002)
    writer.close()
    return sorted(times)[count * 99 // 100] * 1000


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


async def _measure(connections: int, count: int) -> bool:
    """Print each figure; return whether none is above twice that of a quiet server, or a scheduler's slice."""
    is_fair = True
    for name in ATTACKS:
        async with serve_uvicorn(Bounds()) as port:
            await _p99(port, count // 5)
            alone = await _p99(port, count)
            ready = multiprocessing.Event()
            number = connections if name == "idle" else connections // 10
            attacker = multiprocessing.Process(target=attack, args=(port, name, number, ready.set), daemon=True)
            attacker.start()
            while not ready.is_set():  # noqa: ASYNC110 - another process sets it
                await asyncio.sleep(0.05)
            under = await _p99(port, count)
            attacker.kill()
            attacker.join()
        sys.stdout.write(f"{name:<14} {number:>6} connections: p99 {alone:.2f} ms alone, {under:.2f} ms under it\n")
        is_fair = is_fair and under <= max(2 * alone, 4.0)
    return is_fair


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=1_000)
    arguments = parser.parse_args()
    sys.exit(not uvloop.run(_measure(arguments.connections, arguments.requests)))
