"""SIGTERM under load: what runs is answered, nothing is reset, and the process ends in time."""

from __future__ import annotations

import asyncio
import random
import select
import signal
import socket
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .kills import ENVIRONMENT, keepers
from .rows import Row, at_most, none_of, spread
from .server import Gateway, Plugin, gateway

LIMIT_SECONDS = 10
SLOW_SECONDS = 1.0
CONNECTIONS = 6

SLOW = f"""
import asyncio

async def execute(data):
    if data.get("slow"):
        await asyncio.sleep({SLOW_SECONDS})
    return {{}}
"""


@dataclass
class Client:
    """Calls a plugin over one connection until the gateway has closed it or says that it will."""

    running: Gateway
    plugin: str
    slow: bool
    # Which of all it is, so that its calls can be found in the log.
    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)

    async def call_until_closed(self) -> None:
        """Calls."""
        token = self.running.token(f"user_of_{self.plugin}")
        body = b'{"slow": true}' if self.slow else b"{}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.running.port)
        number = 0
        # As pools of connections do, it looks for a close before it asks anything.
        below = writer.get_extra_info("socket").fileno()
        while not (reader.at_eof() or select.select([below], [], [], 0)[0]):
            number += 1
            request_id = f"{self.name}-{number}"
            head = (
                f"POST /api/execute/{self.plugin} HTTP/1.1\r\nHost: gateway\r\n"
                f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                f"X-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            try:
                writer.write(head.encode() + body)
                answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(answer.split("content-length: ")[1].split("\r")[0]))
            except asyncio.IncompleteReadError:
                self.unanswered.append(request_id)
                break
            except ConnectionError:
                self.outcomes["reset"] += 1
                self.unanswered.append(request_id)
                break
            self.outcomes[answer.split()[1]] += 1
            if "connection: close" in answer:
                break
        writer.close()


class Sent:
    """Requests that lie in the gateway's sockets before the signal does."""

    def __init__(self, running: Gateway, plugin: str) -> None:
        """On connections that have been used."""
        head = f"POST /api/execute/{plugin} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer "
        head += f"{running.token('early')}\r\nContent-Type: application/json\r\n"
        self.request = f"{head}Content-Length: 2\r\n\r\n{{}}".encode()
        self.process = running.process
        address = ("127.0.0.1", running.port)
        self.sockets = [socket.create_connection(address, 60) for _ in range(CONNECTIONS)]
        for each in self.sockets:
            each.sendall(self.request)
            each.recv(65536)

    def before_the_signal(self) -> None:
        """Sends while the gateway stands still, and the signal right after."""
        self.process.send_signal(signal.SIGSTOP)
        for each in self.sockets:
            each.sendall(self.request)
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGCONT)

    def unanswered(self) -> int:
        """How many have no answer, at the end."""
        count = 0
        for each in self.sockets:
            with each:
                try:
                    count += not each.recv(65536)
                except OSError:
                    count += 1
        return count


async def _end(running: Gateway, clients: list[Client], sent: Sent) -> tuple[int, float]:
    """Ends the gateway while these call it; its exit code and the milliseconds that it took."""
    calling = [asyncio.create_task(client.call_until_closed()) for client in clients]
    await asyncio.sleep(random.uniform(0.5, 1.2))
    begin = time.monotonic()
    sent.before_the_signal()
    try:
        code = await asyncio.to_thread(running.process.wait, LIMIT_SECONDS + 20)
    except subprocess.TimeoutExpired:
        running.process.kill()
        code = running.process.wait()
    took = (time.monotonic() - begin) * 1000
    await asyncio.gather(*calling)
    return code, took


def sigterm(binary: Path, rounds: int, _: float) -> list[Row]:
    """Ends a gateway that is called, again and again."""
    part = "sigterm"
    slow = [Plugin(f"slow_{mode}", SLOW, mode) for mode in ("inline", "shared", "dedicated")]
    plugins = keepers() + slow
    outcomes: Counter[str] = Counter()
    took: list[float] = []
    codes: Counter[int] = Counter()
    unanswered: list[str] = []
    cut_off = 0
    environment = {
        **ENVIRONMENT,
        "MOZAIKS_DRAIN_TIMEOUT_SECONDS": str(LIMIT_SECONDS),
        # Each request that was looked at has a line.
        "MOZAIKS_LOG": "warn,access=info",
    }
    with gateway(binary, plugins, **environment) as running:
        for turn in range(rounds):
            if turn:
                running.start_again()
            names = [plugin.name for plugin in plugins]
            running.until_called(*names)
            kinds = [(name, False) for name in names for _ in range(CONNECTIONS)]
            kinds += [(plugin.name, True) for plugin in slow for _ in range(CONNECTIONS)]
            clients = [
                Client(running, name, is_slow, f"chaos-{turn}-{number}")
                for number, (name, is_slow) in enumerate(kinds)
            ]
            for name in names:
                running.token(f"user_of_{name}")
            sent = Sent(running, slow[0].name)
            code, milliseconds = asyncio.run(_end(running, clients, sent))
            cut_off += sent.unanswered()
            codes[code] += 1
            took.append(milliseconds)
            for client in clients:
                outcomes.update(client.outcomes)
                unanswered += client.unanswered
        log = running.log.read_text(errors="replace")
    begun = sum(f'"{request_id}"' in log for request_id in unanswered)
    wrong = sum(count for what, count in outcomes.items() if what not in ("200", "503", "reset"))
    return [
        Row(part, "ends under load", f"{rounds}; {outcomes['200']} calls answered"),
        none_of("connections reset", part, outcomes["reset"]),
        none_of("requests that were looked at and not answered", part, begun),
        none_of("requests sent before the signal and not answered", part, cut_off),
        Row(
            part,
            "requests that met a connection which had just been closed as idle",
            f"{len(unanswered) - begun} on {len(kinds) * rounds} connections",
        ),
        none_of("answers but 200 and, once it drains, 503", part, wrong),
        none_of("exit codes but 0", part, sum(n for code, n in codes.items() if code != 0)),
        at_most(part, "until it has ended", max(took), LIMIT_SECONDS * 1000, "ms", spread(took)),
    ]
