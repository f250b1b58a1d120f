"""Runs the plugin as the gateway does: `mozaiks plugin test PATH`."""

import hashlib
import hmac
from pathlib import Path

import pytest_asyncio

from mozaiks.testing import start_plugin

PLUGIN = Path(__file__).parent.parent
SECRET = "only for tests"


@pytest_asyncio.fixture
async def plugin(gateway):
    async with start_plugin(PLUGIN, config={"secret": SECRET}) as started:
        yield started


def signed(body: bytes, delivery: str = "d-1") -> dict:
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "x-signature": f"sha256={digest}",
        "x-delivery-id": delivery,
    }


async def test_a_webhook_is_handled_once(plugin, gateway):
    body = b'{"paid": true}'
    first = await plugin.request("POST", "/hook", body=body, headers=signed(body))
    again = await plugin.request("POST", "/hook", body=body, headers=signed(body))
    assert (first.status, first.body) == (200, {"received": True})
    assert again.body == {"received": True, "again": True}
    told = gateway.events.published("{{name}}:received")
    assert told == [{"id": "d-1", "data": {"paid": True}}]
    assert plugin.stored["handled"] == 1


async def test_what_is_not_signed_is_not_taken(plugin, gateway):
    body = b'{"paid": true}'
    for headers in [{}, {**signed(body), "x-signature": "sha256=0"}, signed(b"{}")]:
        answer = await plugin.request("POST", "/hook", body=body, headers=headers)
        assert answer.status == 401, headers
    without_id = {**signed(body), "x-delivery-id": ""}
    answer = await plugin.request("POST", "/hook", body=body, headers=without_id)
    assert answer.status == 422
    assert gateway.events.published("{{name}}:received") == []


async def test_without_a_secret_nothing_is_taken(gateway):
    async with start_plugin(PLUGIN) as plugin:
        answer = await plugin.request("POST", "/hook", body=b"{}", headers=signed(b"{}"))
    assert answer.status == 503
