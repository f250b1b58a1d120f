"""Runs the plugin as the gateway does: `mozaiks plugin test PATH`."""

from pathlib import Path

import pytest_asyncio

from mozaiks.testing import start_plugin

PLUGIN = Path(__file__).parent.parent


@pytest_asyncio.fixture
async def plugin(gateway):
    async with start_plugin(PLUGIN) as started:
        yield started


async def test_an_item_through_its_life(plugin):
    made = await plugin.request("POST", "/items", json={"title": "Milk"}, user_id="ann")
    assert made.status == 201
    path = f"/items/{made.body['id']}"
    assert (await plugin.request("GET", path, user_id="ann")).body["title"] == "Milk"
    changed = await plugin.request("PUT", path, json={"title": "Oats"}, user_id="ann")
    assert changed.body["title"] == "Oats"
    listed = await plugin.request("GET", "/items", user_id="ann")
    assert listed.body == {"items": [changed.body], "count": 1}
    assert (await plugin.request("DELETE", path, user_id="ann")).status == 204
    assert (await plugin.request("GET", path, user_id="ann")).status == 404


async def test_nobody_sees_or_changes_the_items_of_others(plugin):
    made = await plugin.request("POST", "/items", json={"title": "Mine"}, user_id="ann")
    path = f"/items/{made.body['id']}"
    for method, body in [("GET", None), ("PUT", {"title": "His"}), ("DELETE", None)]:
        answer = await plugin.request(method, path, json=body, user_id="bob")
        assert answer.status == 404, method
    assert (await plugin.request("GET", "/items", user_id="bob")).body["count"] == 0
    assert (await plugin.request("GET", "/items")).status == 401


async def test_what_is_no_id_is_the_id_of_nothing(plugin):
    assert (await plugin.request("GET", "/items/nonsense", user_id="ann")).status == 404
