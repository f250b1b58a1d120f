"""What a route's handler may answer, and how it travels to the gateway."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any

from mozaiks import _host, _json
from mozaiks.errors import HostError

# Pumps of streams that run; the loop keeps weak references to tasks only.
_pumps: set[asyncio.Task[None]] = set()


class Response:
    """An answer with a status and headers of its own.

    Attributes:
        status: The HTTP status.
        headers: Headers; `content-type` says what the body is.
        body: Text, bytes, an async iterator of them (sent as they come), None, or whatever JSON can
            carry.
    """

    def __init__(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str | None = None,
    ) -> None:
        """Makes an answer.

        Args:
            status: The HTTP status, 200 to 599.
            headers: Headers.
            body: What to send.
            content_type: The same as a header `content-type`.
        """
        self.status = status
        self.headers = dict(headers or {})
        self.body = body
        if content_type is not None:
            self.headers["content-type"] = content_type


def redirect(location: str, status: int = 302) -> Response:
    """Sends the client elsewhere.

    Args:
        location: Where to.
        status: 301, 302, 303, 307 or 308.

    Returns:
        The answer.
    """
    return Response(status, {"location": location})


class Reply:
    """Builds an answer step by step: `reply.status(201).header("x-a", "b").send(value)`."""

    def __init__(self) -> None:
        self._response = Response()
        self._touched = False

    def status(self, status: int) -> Reply:
        """Sets the status.

        Args:
            status: The HTTP status.

        Returns:
            The reply.
        """
        self._response.status = status
        self._touched = True
        return self

    code = status

    def header(self, name: str, value: str) -> Reply:
        """Sets a header.

        Args:
            name: Its name.
            value: Its value.

        Returns:
            The reply.
        """
        self._response.headers[name] = value
        self._touched = True
        return self

    def type(self, content_type: str) -> Reply:
        """Sets the header `content-type`.

        Args:
            content_type: What the body is.

        Returns:
            The reply.
        """
        return self.header("content-type", content_type)

    def send(self, body: Any = None) -> Reply:
        """Sets the body.

        Args:
            body: As `Response`.

        Returns:
            The reply.
        """
        self._response.body = body
        self._touched = True
        return self

    def redirect(self, location: str, status: int = 302) -> Reply:
        """Sends the client elsewhere.

        Args:
            location: Where to.
            status: As `redirect`.

        Returns:
            The reply.
        """
        self._response.status = status
        return self.header("location", location)

    def result(self, returned: Any) -> Any:
        """What counts: what the handler returned, else what was built here.

        Args:
            returned: What the handler returned.

        Returns:
            The result.
        """
        if returned is None or returned is self:
            return self._response if self._touched else None
        if self._touched and not isinstance(returned, Response) and self._response.body is None:
            self._response.body = returned
            return self._response
        return returned


async def encode(result: Any) -> list[Any]:
    """Puts a handler's result into the form in which it travels.

    Args:
        result: A dict, list, text, bytes, `Response`, async iterator or None.

    Returns:
        Status, headers, kind and payload.
    """
    kind, payload = "json", result
    status: int | None = None
    headers: dict[str, str] | None = None
    if isinstance(result, Response):
        status, headers, payload = int(result.status), result.headers, result.body
    if payload is None:
        kind = "empty"
    elif isinstance(payload, dict):
        if status is None and isinstance(payload.get("error"), str):
            kind = "failure"
    elif isinstance(payload, str):
        kind = "text"
    elif isinstance(payload, (bytes, bytearray, memoryview)):
        kind, payload = "bytes", base64.b64encode(bytes(payload)).decode("ascii")
    elif isinstance(payload, AsyncIterable):
        stream = await _start_stream(payload)
        if stream is None:
            return [None, None, "overloaded", None]
        kind, payload = "stream", stream
    if headers is not None:
        headers = {str(name): str(value) for name, value in headers.items()}
    return [status, headers, kind, payload]


async def _start_stream(chunks: AsyncIterable[Any]) -> int | None:
    """Begins to send; gives the stream's number, or None where there are too many."""
    try:
        stream = int(await _host.request("stream.open"))
    except HostError as error:
        if error.error_code != "OVERLOADED":
            raise
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
        return None
    task = asyncio.get_running_loop().create_task(_pump(stream, aiter(chunks)))
    _pumps.add(task)
    task.add_done_callback(_pumps.discard)
    return stream


async def _pump(stream: int, chunks: AsyncIterator[Any]) -> None:
    """Sends chunk after chunk; each waits until the client has room for it."""
    host = _host.get()
    prefix = stream.to_bytes(8, "big")
    failure: str | None = None
    try:
        async for chunk in chunks:
            if isinstance(chunk, str):
                chunk = chunk.encode()
            elif not isinstance(chunk, (bytes, bytearray, memoryview)):
                chunk = _json.dumps(chunk) + b"\n"
            if await host.request("stream.write", prefix + bytes(chunk)) != b"true":
                # The client has gone.
                break
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        raise
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
        await _host.request("stream.close", {"stream": stream, "failure": failure})
