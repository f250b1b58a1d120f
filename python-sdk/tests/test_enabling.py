from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import pytest

from mozaiks.event_bus import event_bus
from mozaiks.plugin import PluginContext, _life
from tests.fake_host import FakeHost

DESCRIBED = {"name": "shop", "version": "1.0.0", "generation": 7, "data_dir": "/data/shop"}


async def life_of(on_enable: Any, on_load: Any = None) -> _life.Life:
    module = ModuleType("mozaiks_plugin_shop_g7")
    vars(module)["on_enable"] = on_enable
    if on_load is not None:
        vars(module)["on_load"] = on_load
    life = _life.Life("mozaiks_plugin_shop_g7", module, None)
    await life.run({"name": "on_load"})
    return life


def kinds(host: FakeHost) -> list[str]:
    return sorted(kind for kind, _ in host.specs)


async def handler(*_: Any) -> None:
    pass


async def other(*_: Any) -> None:
    pass


@pytest.mark.parametrize("plain", [False, True])
async def test_what_each_apps_run_registers_is_one_registration(
    host: FakeHost, plain: bool
) -> None:
    host.answer = DESCRIBED
    heard: list[str] = []

    def register(ctx: PluginContext) -> None:
        ctx.register_route("GET", "/x", handler)
        ctx.on_websocket_message("x", lambda data: None)
        ctx.on_websocket_message("x", lambda data: None)
        ctx.schedule_task("* * * * *", handler)
        ctx.schedule_task("* * * * *", lambda: None)
        ctx.on("shop:sold", lambda data: heard.append("first"))
        ctx.on("shop:sold", lambda data: heard.append("second"))
        ctx.register_middleware(handler)
        event_bus.subscribe("shop:sold", handler)

    async def register_waiting(ctx: PluginContext) -> None:
        register(ctx)
        await asyncio.sleep(0)

    life = await life_of(register if plain else register_waiting)
    step = {"name": "on_enable", "round": 1}
    await asyncio.gather(*(life.run(step) for _ in range(4)))
    once = ["event", "event", "job", "job", "route", "websocket", "websocket"]
    assert kinds(host) == once
    names = [spec["name"] for kind, spec in host.specs if kind == "job"]
    assert names == ["handler", "task-1"]
    assert life._context is not None
    assert len(life._context._layers) == 1
    [deliver] = [
        host.registered[number + 1][1]
        for number, (kind, spec) in enumerate(host.specs)
        if kind == "event" and spec.get("with_id")
    ]
    await deliver({}, 1)
    assert heard == ["first", "second"]

    # A later enabling begins anew, but for what the gateway keeps as long as the load lives.
    host.specs.clear()
    await life.run({"name": "on_enable", "round": 2})
    assert kinds(host) == [kind for kind in once if kind != "route"]
    assert len(life._context._layers) == 1
    # That of one app has no number, and is one each time.
    host.specs.clear()
    await life.run({"name": "on_enable"})
    assert kinds(host) == [kind for kind in once if kind != "route"]


async def test_another_function_is_another_registration(host: FakeHost) -> None:
    host.answer = DESCRIBED
    functions = [handler, other]

    async def on_enable(ctx: PluginContext) -> None:
        event_bus.subscribe("shop:sold", functions.pop())

    life = await life_of(on_enable)
    for _ in range(2):
        await life.run({"name": "on_enable", "round": 1})
    assert kinds(host) == ["event", "event"]


async def test_a_registration_ends_with_the_last_app_that_ends_it(host: FakeHost) -> None:
    host.answer = DESCRIBED
    ended: list[int] = []
    # The stand-in's method is put aside to see what it is asked.
    host.unregister = ended.append  # type: ignore[method-assign, assignment]

    async def on_enable(ctx: PluginContext) -> None:
        event_bus.subscribe("shop:sold", handler)

    life = await life_of(on_enable)
    step = {"name": "on_enable", "round": 1}
    for _ in range(2):
        await life.run(step)
    event_bus.unsubscribe("shop:sold", handler)
    assert ended == []
    event_bus.unsubscribe("shop:sold", handler)
    assert ended == [1]
    await life.run(step)
    assert kinds(host) == ["event", "event"]
    assert event_bus.unsubscribe("shop:sold", handler)


async def test_a_refused_registration_is_tried_again_in_the_next_app(host: FakeHost) -> None:
    host.answer = DESCRIBED
    refuse = [True]
    register = host.register

    def first_refused(kind: str, spec: bytes, callback: Any) -> int:
        if refuse.pop() if refuse else False:
            raise ValueError("full")
        return register(kind, spec, callback)

    # The stand-in takes everything by itself.
    host.register = first_refused  # type: ignore[method-assign]

    async def on_enable(ctx: PluginContext) -> None:
        ctx.register_route("GET", "/x", handler)

    life = await life_of(on_enable)
    step = {"name": "on_enable", "round": 1}
    with pytest.raises(ValueError, match="full"):
        await life.run(step)
    await life.run(step)
    assert kinds(host) == ["route"]
