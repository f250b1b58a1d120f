"""What a route's handler and a middleware are given."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from mozaiks import _json


@dataclass(frozen=True)
class User:
    """Who calls, from the verified token.

    Attributes:
        user_id: The user.
        username: A name for people, if the token has one.
        roles: The user's roles.
        is_superadmin: Whether the user may do everything.
    """

    user_id: str
    username: str | None
    roles: tuple[str, ...]
    is_superadmin: bool


class Request:
    """One request of a client to a route of the plugin.

    The body has been read before the handler runs. Where it is a JSON object, `user_id`, `app_id`
    and `_context` in it are the gateway's, as in `execute`.
    """

    __slots__ = ("_body", "_head", "state")

    def __init__(self, head: dict[str, Any]) -> None:
        """Takes what the gateway gives.

        Args:
            head: Method, path, parameters, headers, identity and body.
        """
        self._head = head
        self.state: dict[str, Any] = {}
        body: Any = head.get("body")
        if body is None:
            # JSON's null, or a body of another form.
            body = head.get("text")
            data = None if body is not None else head.get("bytes")
            if data is not None:
                body = base64.b64decode(data)
        elif isinstance(body, dict):
            # What the gateway says of the caller; whatever a client sends under these names goes.
            body.pop("_entitlements", None)
            body.pop("user_jwt", None)
            context = head.get("context") or {}
            body["user_id"] = context.get("user_id")
            body["app_id"] = head.get("app_id")
            body["_context"] = context
        self._body: Any = body

    @property
    def method(self) -> str:
        """`GET`, `POST`, `PUT`, `PATCH` or `DELETE`."""
        return str(self._head["method"])

    @property
    def path(self) -> str:
        """The path below `/api/plugins/{name}`."""
        return str(self._head["path"])

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the path."""
        params: dict[str, str] = self._head.get("params") or {}
        return params

    @property
    def query(self) -> dict[str, Any]:
        """The query: text by name, a list of texts where a name is given more than once."""
        query: dict[str, Any] = self._head.get("query") or {}
        return query

    @property
    def headers(self) -> dict[str, str]:
        """Headers by their names in lower case, without the credentials."""
        headers: dict[str, str] = self._head.get("headers") or {}
        return headers

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies by name."""
        cookies: dict[str, str] = {}
        for pair in self.headers.get("cookie", "").split(";"):
            name, separator, value = pair.strip().partition("=")
            if separator:
                cookies.setdefault(name, value.strip('"'))
        return cookies

    @property
    def body(self) -> Any:
        """What the body parses to: JSON, else text, else bytes; None where there is none."""
        return self._body

    @property
    def raw(self) -> bytes:
        """The body byte for byte, as a signature over it wants it.

        Raises:
            RuntimeError: If the route was not registered with `raw_body=True`.
        """
        raw = self._head.get("raw")
        if raw is None:
            raise RuntimeError("register the route with raw_body=True to read its raw body")
        return base64.b64decode(raw)

    def json(self) -> Any:
        """The body as JSON.

        Returns:
            What it holds.

        Raises:
            ValueError: If it is not JSON.
        """
        if isinstance(self._body, (bytes, str)):
            raw = self._body.encode() if isinstance(self._body, str) else self._body
            return _json.loads(raw)
        return self._body

    def text(self) -> str:
        """The body as text.

        Returns:
            The text; JSON is written anew.
        """
        if isinstance(self._body, str):
            return self._body
        if isinstance(self._body, bytes):
            return self._body.decode("utf-8", "replace")
        return "" if self._body is None else _json.dumps(self._body).decode()

    @property
    def user(self) -> User | None:
        """Who calls; None on a public route that was called without a token."""
        context = self._head.get("context")
        if not context or context.get("user_id") is None:
            return None
        return User(
            user_id=context["user_id"],
            username=context.get("username"),
            roles=tuple(context.get("roles") or ()),
            is_superadmin=bool(context.get("is_superadmin")),
        )

    @property
    def context(self) -> dict[str, Any]:
        """What `execute` has under `_context`; empty without a token."""
        return self._head.get("context") or {}

    @property
    def app_id(self) -> str:
        """The app that the call is for."""
        return str(self._head["app_id"])

    @property
    def request_id(self) -> str:
        """The request's id, as in the log and in `X-Request-Id`."""
        return str(self._head["request_id"])

    @property
    def client_ip(self) -> str | None:
        """The client's address."""
        address = self._head.get("client_ip")
        return None if address is None else str(address)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"
