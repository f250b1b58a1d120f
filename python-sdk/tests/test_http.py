from __future__ import annotations

import pytest

from core.config.database import db
from core.event_bus import event_bus
from mozaiks import HostError, PermissionDenied, UpstreamError, http
from mozaiks.testing import TestGateway
from tests.fake_host import FakeHost


async def test_a_request_goes_out_as_it_was_meant(gateway: TestGateway) -> None:
    gateway.http.answer("POST", "https://api.example.com/a", status=201, json={"id": 1})
    answer = await http.post(
        "https://api.example.com/a", params={"q": ["x y", 2], "none": None}, json={"n": 1}
    )
    assert (answer.status, answer.ok, answer.json()) == (201, True, {"id": 1})
    (sent,) = gateway.http.sent
    assert sent.url == "https://api.example.com/a?q=x+y&q=2"
    assert (sent.body, sent.headers) == (b'{"n":1}', {"content-type": "application/json"})


async def test_bodies_say_what_they_are(gateway: TestGateway) -> None:
    gateway.http.answer("PUT", "/x", api="weather", body=b"\xff", headers={"x-a": "1"})
    for data, kind, body in [
        ("text", "text/plain; charset=utf-8", b"text"),
        (b"\x00", "application/octet-stream", b"\x00"),
        ({"a": "b c"}, "application/x-www-form-urlencoded", b"a=b+c"),
    ]:
        answer = await http.api("weather").put("/x", data=data)
        assert (answer.text, answer.headers) == ("\ufffd", {"x-a": "1"})
        sent = gateway.http.sent[-1]
        assert (sent.body, sent.headers["content-type"], sent.api) == (body, kind, "weather")
    await http.api("weather").put("/x", data="a", headers={"Content-Type": "text/csv"})
    assert gateway.http.sent[-1].headers == {"Content-Type": "text/csv"}
    with pytest.raises(ValueError, match="not both"):
        await http.post("https://x.example/", json={}, data=b"")


async def test_what_is_not_answered_is_an_error(gateway: TestGateway) -> None:
    with pytest.raises(UpstreamError, match="prepared no answer"):
        await http.get("https://api.example.com/")
    gateway.http.answer("GET", "https://api.example.com/", status=404)
    answer = await http.get("https://api.example.com/")
    with pytest.raises(UpstreamError) as raised:
        answer.raise_for_status()
    assert raised.value.details == {"status": 404}


async def test_a_missing_permission_is_named(host: FakeHost) -> None:
    import bson

    details = bson.encode({"permission": "database:orders:read"})
    host.replies.append(HostError("PERMISSION_DENIED", "no", details))
    with pytest.raises(PermissionDenied) as raised:
        await db["orders"].find_one({})
    assert raised.value.permission == "database:orders:read"
    assert raised.value.error_code == "PERMISSION_DENIED"

    def refuse(event: str, data: bytes) -> None:
        raise HostError("PERMISSION_DENIED", "no", b'{"permission":"events.publish:a:b"}')

    host.publish = refuse  # type: ignore[method-assign]  # the double, told to refuse
    with pytest.raises(PermissionDenied) as raised:
        event_bus.publish("a:b", {})
    assert raised.value.permission == "events.publish:a:b"
