"""A stand-in for others that plugins send requests to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mozaiks import _json
from mozaiks.errors import HostError


@dataclass(frozen=True)
class SentRequest:
    """A request that a plugin has sent.

    Attributes:
        method: `GET`, ...
        url: Where to; below the interface's address where one is named.
        headers: Names and values.
        body: The body.
        api: The interface, if one is named.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    api: str | None


@dataclass(frozen=True)
class _Prepared:
    status: int
    headers: dict[str, str]
    body: bytes


class RecordingHttp:
    """Remembers requests and answers them as it was told; nothing leaves the test.

    Attributes:
        sent: What was sent, in order.
    """

    def __init__(self) -> None:
        self.sent: list[SentRequest] = []
        self._prepared: dict[tuple[str, str, str | None], _Prepared] = {}

    def answer(
        self,
        method: str,
        url: str,
        *,
        status: int = 200,
        json: Any = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        api: str | None = None,
    ) -> None:
        """Says what a request is answered with from now on.

        Args:
            method: `GET`, ...
            url: Without its query.
            status: The status.
            json: A body of JSON.
            body: A body of bytes, where `json` is not given.
            headers: Names in lower case, and values.
            api: The interface that the URL is below of, if any.
        """
        content = body if json is None else _json.dumps(json)
        key = (method.upper(), url.split("?")[0], api)
        self._prepared[key] = _Prepared(status, dict(headers or {}), content)

    def request(self, payload: bytes) -> bytes:
        """Does what `http.request` asks for.

        Args:
            payload: Head and body.

        Returns:
            Head and body of the answer.

        Raises:
            HostError: If no answer was prepared.
        """
        end = 4 + int.from_bytes(payload[:4], "big")
        head = _json.loads(payload[4:end])
        api = head.get("api")
        sent = SentRequest(
            head["method"].upper(), head["url"], dict(head["headers"]), payload[end:], api
        )
        self.sent.append(sent)
        prepared = self._prepared.get((sent.method, sent.url.split("?")[0], api))
        if prepared is None:
            raise HostError(
                "UPSTREAM_ERROR", f"the test has prepared no answer for {sent.method} {sent.url}"
            )
        said = {
            "status": prepared.status,
            "headers": list(prepared.headers.items()),
            "url": sent.url,
        }
        encoded = _json.dumps(said)
        return len(encoded).to_bytes(4, "big") + encoded + prepared.body
