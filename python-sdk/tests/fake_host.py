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
        self.replies: deque[dict[str, Any] | HostError] = deque()
        self.answer: Any = None

    async def request(self, operation: str, payload: bytes) -> bytes:
        if operation == "db.command":
            self.commands.append(bson.decode(payload))
            reply = self.replies.popleft() if self.replies else {"ok": 1.0, "n": 1, "nModified": 1}
            if isinstance(reply, HostError):
                raise reply
            return bson.encode(reply)
        self.asked.append((operation, _json.loads(payload)))
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

    def register_event(self, pattern: str, callback: Callable[..., Any]) -> int:
        return self._register(pattern, callback)

    def register_websocket_message(self, message_type: str, callback: Callable[..., Any]) -> int:
        return self._register(message_type, callback)

    def unregister(self, registration: int) -> None:
        del self.registered[registration]

    def _register(self, key: str, callback: Callable[..., Any]) -> int:
        registration = len(self.registered) + 1
        self.registered[registration] = (key, callback)
        return registration
