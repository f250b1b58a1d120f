"""A host that remembers what it is asked and answers what it is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import bson

from mozaiks import _json
from mozaiks.errors import HostError


class FakeHost:
    """Stands for the gateway with its own database path."""

    serves_database = True

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.asked: list[tuple[str, Any]] = []
        self.events: list[tuple[str, Any]] = []
        self.registered: dict[int, tuple[str, Callable[..., Any]]] = {}
        self.specs: list[tuple[str, dict[str, Any]]] = []
        self.replies: deque[dict[str, Any] | HostError] = deque()
        self.answer: Any = None

    async def request(self, operation: str, payload: bytes) -> bytes:
        if operation == "db.command":
            self.commands.append(bson.decode(payload))
            reply = self.replies.popleft() if self.replies else {"ok": 1.0, "n": 1, "nModified": 1}
            if isinstance(reply, HostError):
                raise reply
            return bson.encode(reply)
        if operation == "stream.write":
            self.asked.append((operation, payload[8:]))
            return b"false"
        whole = payload if operation == "files.write" else _json.loads(payload)
        self.asked.append((operation, whole))
        if isinstance(self.answer, HostError):
            raise self.answer
        return _json.dumps(self.answer)

    def query(self, operation: str, payload: bytes) -> bytes:
        self.asked.append((operation, _json.loads(payload)))
        if isinstance(self.answer, HostError):
            raise self.answer
        return _json.dumps(self.answer)

    def publish(self, event: str, data: bytes) -> None:
        self.events.append((event, _json.loads(data)))

    def register(self, kind: str, spec: bytes, callback: Callable[..., Any]) -> int:
        wanted = _json.loads(spec)
        key = wanted.get("pattern") or wanted.get("type") or wanted.get("path") or kind
        registration = len(self.registered) + 1
        self.registered[registration] = (key, callback)
        self.specs.append((kind, wanted))
        return registration

    def unregister(self, registration: int) -> None:
        del self.registered[registration]
