"""What the peers that push share: who is connected, and the request that pushes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from common import verify

Socket = TypeVar("Socket")
# Beside the text: {"t":<19 digits>,"text":""}
REST_BYTES = 34


def user_of(headers: Mapping[str, str]) -> str:
    """The user of a request's bearer token, verified."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = ""
    claims = verify(token)
    return str(claims.get("user_id") or claims["sub"])


class Registry(Generic[Socket]):
    """The sockets of each user."""

    def __init__(self) -> None:
        """Nobody is connected."""
        self.users: dict[str, set[Socket]] = {}

    def add(self, user: str, socket: Socket) -> None:
        """A socket of the user."""
        self.users.setdefault(user, set()).add(socket)

    def remove(self, user: str, socket: Socket) -> None:
        """It has ended."""
        self.users[user].discard(socket)
        if not self.users[user]:
            del self.users[user]

    def of(self, user: str) -> list[Socket]:
        """The user's."""
        return list(self.users.get(user, ()))

    def all(self) -> list[Socket]:
        """Everybody's."""
        return [socket for sockets in self.users.values() for socket in sockets]


def message(size: int) -> dict[str, Any]:
    """A message of this many bytes, with the time."""
    return {"t": time.time_ns(), "text": "x" * (size - REST_BYTES)}


async def push(
    registry: Registry[Socket],
    user: str,
    data: dict[str, Any],
    send: Callable[[list[Socket], Any], Awaitable[None]],
) -> dict[str, int]:
    """Does what the body asks for: a message to the caller, or many to everybody."""
    if data["action"] == "to_user":
        sockets = registry.of(user)
        await send(sockets, message(data["bytes"]))
        return {"reached": len(sockets)}
    reached = 0
    due = time.monotonic()
    for _ in range(data["messages"]):
        if data["per_second"]:
            await asyncio.sleep(max(0, due - time.monotonic()))
            due += 1 / data["per_second"]
        sockets = registry.all()
        await send(sockets, message(data["bytes"]))
        reached += len(sockets)
    return {"reached": reached}
