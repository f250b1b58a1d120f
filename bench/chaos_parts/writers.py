"""The load: connections that write documents of their own ids, and note what was acknowledged."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from .server import Gateway

CONNECTIONS = 8
BATCH = 1000

KEEPER = """
from core.config.database import db

async def execute(data):
    kept = db["NAME_kept"]
    if "missing_of" in data:
        wanted = data["missing_of"]
        there = {found["_id"] async for found in kept.find({"_id": {"$in": wanted}})}
        return {"missing": [each for each in wanted if each not in there]}
    if "count" in data:
        return {"count": await kept.count_documents({})}
    if "id" in data:
        await kept.insert_one({"_id": data["id"], "user_id": data["user_id"]})
    return {}
"""


def keeper_code(name: str) -> str:
    """A plugin that keeps what it is given."""
    return KEEPER.replace("NAME", name)


@dataclass(frozen=True)
class Call:
    """One call, as its client saw it."""

    plugin: str
    begin: float
    end: float
    # 0 where the connection broke.
    status: int
    code: str


@dataclass
class Load:
    """Writers on several connections, each of one plugin and one user."""

    gateway: Gateway
    plugins: list[str]
    calls: list[Call] = field(default_factory=list)
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begins to write."""
        self.acknowledged = {plugin: [] for plugin in self.plugins}
        for number in range(CONNECTIONS):
            token = self.gateway.token(f"writer{number}")
            plugin = self.plugins[number % len(self.plugins)]
            thread = threading.Thread(target=self._write, args=(number, plugin, token), daemon=True)
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends; what was begun is awaited."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int, plugin: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection: http.client.HTTPConnection | None = None
        count = 0
        while not self._over.is_set():
            count += 1
            document = f"{number}-{count}"
            status, code = 0, ""
            begin = time.monotonic()
            try:
                # After a restart the port is another one.
                if connection is None or connection.port != self.gateway.port:
                    connection = self.gateway.connection()
                body = json.dumps({"id": document})
                connection.request("POST", f"/api/execute/{plugin}", body, headers)
                answer = connection.getresponse()
                text = answer.read()
                status = answer.status
                if status != 200:
                    code = json.loads(text).get("error_code", "")
            except ConnectionRefusedError:
                # There is no gateway now: nothing was asked.
                connection = None
                time.sleep(0.01)
                continue
            except (OSError, http.client.HTTPException):
                if connection:
                    connection.close()
                connection = None
            self.calls.append(Call(plugin, begin, time.monotonic(), status, code))
            if status == 200:
                self.acknowledged[plugin].append(document)

    def lost(self) -> tuple[int, int]:
        """Acknowledged writes, and those of them that are not there."""
        written = missing = 0
        for plugin, documents in self.acknowledged.items():
            written += len(documents)
            for at in range(0, len(documents), BATCH):
                answer = self._asked(plugin, missing_of=documents[at : at + BATCH])
                missing += len(answer["missing"])
        return written, missing

    def kept(self) -> int:
        """Documents that are there, acknowledged or not."""
        return sum(int(self._asked(plugin, count=True)["count"]) for plugin in self.plugins)

    def _asked(self, plugin: str, **data: Any) -> Any:
        """What the plugin says when nothing disturbs it."""
        status, answer = self.gateway.call(plugin, **data)
        if status != 200:
            raise SystemExit(f"{plugin} does not say what it has: {answer}")
        return answer
