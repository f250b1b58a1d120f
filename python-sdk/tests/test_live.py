"""Plugins that tests take through their life."""

from __future__ import annotations

from pathlib import Path

import pytest

from mozaiks.errors import HostError
from mozaiks.testing import TestGateway, start_plugin

LOGIC = """
from core.plugin import Response

steps = []

def on_load(ctx):
    steps.append("load")
    ctx.register_route("GET", "/a/{id}", lambda request: request.params)
    ctx.register_route("GET", "/files/{*path}", lambda request: request.params["path"])
    ctx.register_route("POST", "/raw", lambda request: request.raw, raw_body=True)
    ctx.register_route("GET", "/staff", lambda request: {}, roles=["staff"])
    ctx.register_route("GET", "/open", lambda request: request.user is None, requires_auth=False)
    ctx.register_route("GET", "/pieces", pieces)
    ctx.register_route("GET", "/made", lambda request: Response(201, {"X-A": "b"}, "text"))
    ctx.register_route("GET", "/no", lambda request: {"error": "no", "error_code": "CONFLICT"})
    ctx.register_route("POST", "/lie", lambda request: ctx.emit("plugin_loaded", {}))

def on_unload(ctx):
    steps.append("unload")

async def pieces(request):
    async def numbers():
        yield "0"
        yield b"1"
    return numbers()
"""

STORING = """
async def on_load(ctx):
    async def store(request):
        await ctx.set_storage("a", 1)
        await ctx.set_storage("ab", {"x": [1]}, ttl=60)
        await ctx.set_storage("gone", 1, ttl=0)
        await ctx.increment_storage("a", 4)
        page = await ctx.list_storage("a", limit=1)
        rest = await ctx.list_storage("a", cursor=page["next_cursor"])
        await ctx.set_config("a", 2)
        return {
            "page": [item["key"] for item in page["items"] + rest["items"]],
            "gone": await ctx.get_storage("gone", "nothing"),
            "deleted": [await ctx.delete_storage("ab"), await ctx.delete_storage("ab")],
            "config": ctx.get_config(),
        }
    ctx.register_route("POST", "/", store)
"""


def plugin(tmp_path: Path, logic: str, manifest: str = "{}") -> Path:
    (tmp_path / "logic.py").write_text(logic)
    (tmp_path / "plugin.json").write_text(manifest)
    return tmp_path


async def test_routes_are_called_as_clients_do(gateway: TestGateway, tmp_path: Path) -> None:
    async with start_plugin(plugin(tmp_path, LOGIC)) as live:

        async def get(path: str, user_id: str | None = "ann") -> tuple[int, object]:
            answer = await live.request("GET", path, user_id=user_id)
            return answer.status, answer.body

        assert await get("/a/x%20y") == (200, {"id": "x y"})
        assert await get("/files/a/b") == (200, "a/b")
        assert await get("/pieces") == (200, b"01")
        assert await get("/no") == (409, {"error": "no", "error_code": "CONFLICT"})
        assert await get("/open", None) == (200, True)
        statuses = [(await get(path, user))[0] for path, user in NOT_ALLOWED]
        assert statuses == [401, 403, 404, 404]
        assert (await live.request("DELETE", "/no", user_id="ann")).status == 405
        made = await live.request("GET", "/made", user_id="ann")
        assert (made.status, made.headers, made.body) == (201, {"x-a": "b"}, "text")
        raw = await live.request("POST", "/raw", json={"a": 1}, user_id="ann")
        assert raw.body == b'{"a":1}'
        staff = await live.request("GET", "/staff", user_id="ann", roles=["staff"])
        assert staff.status == 200
        with pytest.raises(HostError, match="the gateway's own"):
            await live.request("POST", "/lie", user_id="ann")


NOT_ALLOWED = [("/staff", None), ("/staff", "ann"), ("/none", "ann"), ("/a", "ann")]


async def test_a_plugin_configures_and_stores(gateway: TestGateway, tmp_path: Path) -> None:
    path = plugin(tmp_path, STORING, '{"name": "shop", "config": {"a": 1, "b": 1}}')
    async with start_plugin(path, config={"b": 3}) as live:
        answer = await live.request("POST", "/", user_id="ann")
        assert answer.body == {
            "page": ["a", "ab"],
            "gone": "nothing",
            "deleted": [True, False],
            "config": {"a": 2, "b": 3},
        }
        assert live.stored == {"a": 5}
        assert gateway.plugins.stored("shop", "other") == {}


async def test_without_a_gateway_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="TestGateway"):
        async with start_plugin(plugin(tmp_path, STORING)):
            pass


async def test_a_message_that_nobody_takes_is_noticed(gateway: TestGateway, tmp_path: Path) -> None:
    async with start_plugin(plugin(tmp_path, STORING)) as live:
        with pytest.raises(LookupError, match="'x'"):
            await live.message("x", {}, user_id="ann")


async def test_listeners_run_as_the_plugin_that_listens(
    gateway: TestGateway, tmp_path: Path
) -> None:
    logic = """
async def on_load(ctx):
    async def emit(request):
        ctx.emit("a:b", {})

    async def heard(data):
        await ctx.increment_storage("heard")

    ctx.on("a:b", heard)
    ctx.register_route("POST", "/", emit)
"""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        plugin(tmp_path / name, logic, f'{{"name": "{name}"}}')
    async with start_plugin(tmp_path / "one") as one, start_plugin(tmp_path / "two") as two:
        await two.request("POST", "/", user_id="ann")
        assert (one.stored, two.stored) == ({"heard": 1}, {"heard": 1})
        owners = [spec["plugin"] for spec, _ in gateway.registered["route"]]
        assert owners == ["one", "two"]
    assert gateway.events.failures == []


async def test_actions_of_a_started_plugin_share_its_context(
    tmp_path: Path, gateway: TestGateway
) -> None:
    (tmp_path / "__init__.py").touch()
    (tmp_path / "logic.py").write_text(
        "from core.actions import Call, action\n"
        "async def on_load(ctx):\n"
        "    ctx.mark = 'loaded'\n"
        "@action('count')\n"
        "async def count(call: Call, by: int = 1) -> int:\n"
        "    assert call.ctx.mark == 'loaded'\n"
        "    return await call.ctx.increment_storage(call.user_id, by)\n"
    )
    async with start_plugin(tmp_path) as plugin:
        assert await plugin.execute("count", user_id="ann") == {"result": 1}
        assert await plugin.execute("count", user_id="ann", by=3) == {"result": 4}
        refused = await plugin.execute("count", by="x")
        assert refused["details"]["path"] == "/by"
        assert plugin.stored == {"ann": 4}
