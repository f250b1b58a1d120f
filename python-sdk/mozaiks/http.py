"""Requests to others, which the gateway sends for the plugin.

What may be reached stands under `network` and `api` in the `permissions` of `plugin.json`.
"""

from __future__ import annotations

import json as _stdlib_json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from mozaiks import _host, _json
from mozaiks.errors import HostError, UpstreamError

__all__ = [
    "Api",
    "Http",
    "Response",
    "api",
    "client",
    "delete",
    "get",
    "patch",
    "post",
    "put",
    "request",
]


class Response:
    """What came back.

    Attributes:
        status: The status.
        headers: By name in lower case; of a name that came twice, the values joined by a comma.
        content: The body.
        url: Whom it came from, after redirects.
    """

    def __init__(
        self, status: int, headers: list[tuple[str, str]], content: bytes, url: str
    ) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        for name, value in headers:
            before = self.headers.get(name)
            self.headers[name] = value if before is None else f"{before}, {value}"
        self.content = content
        self.url = url

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def text(self) -> str:
        """The body as text in UTF-8; what is none is replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON.

        Returns:
            The value.

        Raises:
            ValueError: If it is none.
        """
        return _stdlib_json.loads(self.content)

    def raise_for_status(self) -> Response:
        """Raises where the status is 400 or above.

        Returns:
            The response itself.

        Raises:
            UpstreamError: With the status in `details`.
        """
        if not self.ok:
            raise UpstreamError(
                "UPSTREAM_ERROR", f"the answer is {self.status}", {"status": self.status}
            )
        return self

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


class Http:
    """Sends requests.

    Args:
        api: An interface that the operator has described; URLs are paths below it then.
    """

    def __init__(self, api: str | None = None) -> None:
        self._api = api

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | str | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        follow_redirects: bool = True,
    ) -> Response:
        """Sends a request and waits for the whole answer.

        Args:
            method: `GET`, `POST`, ...
            url: `https://...`; of an interface, a path below its address.
            params: Goes into the URL's query.
            headers: Names and values.
            json: A body of JSON.
            data: A body of bytes or text, or the fields of a form.
            timeout: Seconds; never longer than the gateway's own limit.
            follow_redirects: Whether redirects are followed; each is checked like a request.

        Returns:
            The answer, whatever its status.

        Raises:
            ValueError: If both `json` and `data` are given.
            PermissionDenied: If the host or the interface is not among the plugin's permissions.
            NetworkDenied: If it is not to be reached from here: private, or without TLS.
            UpstreamTimeout: If there was no answer in time.
            UpstreamError: If nobody is there, or the answer cannot be taken.
            HostError: `VALIDATION_ERROR` for what makes no sense, `LIMIT_EXCEEDED` where too many
                requests are under way.
        """
        if json is not None and data is not None:
            raise ValueError("either json or data, not both")
        named = {str(name): str(value) for name, value in (headers or {}).items()}
        body, kind = _body(json, data)
        if kind is not None and not any(name.lower() == "content-type" for name in named):
            named["content-type"] = kind
        if params:
            query = urlencode(
                {key: value for key, value in params.items() if value is not None}, True
            )
            url += ("&" if "?" in url else "?") + query
        head = {
            "method": method,
            "url": url,
            "headers": list(named.items()),
            "follow_redirects": follow_redirects,
        }
        if self._api is not None:
            head["api"] = self._api
        if timeout is not None:
            head["timeout"] = timeout
        encoded = _json.dumps(head)
        payload = len(encoded).to_bytes(4, "big") + encoded + body
        try:
            answer = await _host.get().request("http.request", payload)
        except HostError as error:
            raise _host.readable(error) from None
        end = 4 + int.from_bytes(answer[:4], "big")
        said = _json.loads(answer[4:end])
        pairs = [(name, value) for name, value in said["headers"]]
        return Response(said["status"], pairs, bytes(answer[end:]), said["url"])

    async def get(self, url: str, **options: Any) -> Response:
        """As `request` with `GET`.

        Args:
            url: Where to.
            **options: As of `request`.

        Returns:
            The answer.
        """
        return await self.request("GET", url, **options)

    async def post(self, url: str, **options: Any) -> Response:
        """As `request` with `POST`.

        Args:
            url: Where to.
            **options: As of `request`.

        Returns:
            The answer.
        """
        return await self.request("POST", url, **options)

    async def put(self, url: str, **options: Any) -> Response:
        """As `request` with `PUT`.

        Args:
            url: Where to.
            **options: As of `request`.

        Returns:
            The answer.
        """
        return await self.request("PUT", url, **options)

    async def patch(self, url: str, **options: Any) -> Response:
        """As `request` with `PATCH`.

        Args:
            url: Where to.
            **options: As of `request`.

        Returns:
            The answer.
        """
        return await self.request("PATCH", url, **options)

    async def delete(self, url: str, **options: Any) -> Response:
        """As `request` with `DELETE`.

        Args:
            url: Where to.
            **options: As of `request`.

        Returns:
            The answer.
        """
        return await self.request("DELETE", url, **options)

    def api(self, name: str) -> Api:
        """An interface that the operator has described; its secrets stay with the gateway.

        Args:
            name: As in the operator's file and under `api` in the permissions.

        Returns:
            What sends requests below it.
        """
        return Api(name)


class Api(Http):
    """An interface that the operator has described.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _body(json: Any, data: bytes | str | Mapping[str, Any] | None) -> tuple[bytes, str | None]:
    if json is not None:
        return _json.dumps(json), "application/json"
    if data is None:
        return b"", None
    if isinstance(data, str):
        return data.encode("utf-8"), "text/plain; charset=utf-8"
    if isinstance(data, Mapping):
        return urlencode(data, True).encode("ascii"), "application/x-www-form-urlencoded"
    return bytes(data), "application/octet-stream"


client = Http()
request = client.request
get = client.get
post = client.post
put = client.put
patch = client.patch
delete = client.delete
api = client.api
