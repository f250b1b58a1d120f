"""Parts of plugins as files, hooks, and events by priority, as plugins' own tests see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mozaiks.errors import HostError
from mozaiks.event_bus import event_system
from mozaiks.hooks import hooks, on_hook
from mozaiks.testing import TestGateway, start_plugin

FILES = {
    "plugin.json": json.dumps(
        {
            "controllers": {"trackVisit.py": {"method": "POST", "path": "/track-visit"}},
            "hooks": [{"file": "price", "name": "product.price", "priority": 20}],
            "events": {
                "viewed.py": {"event": "cart.*", "order": 20},
                "told.js": {"event_name": "cart.viewed", "scope": "frontend"},
                "off.py": {"event_name": "cart.viewed", "is_enabled": False},
            },
            "middleware": {"stamp.py": {"phase": "response", "applies_to": ["/track*"]}},
            "jobs": {"nightly.py": {"cron": "0 3 * * *"}},
            "widgets": {"hello.py": {}, "shown.js": {}},
        }
    ),
    "utils/money.py": "def euros(cents):\n    return f'{cents / 100:.2f}'\n",
    "controllers/trackVisit.py": (
        "from ..utils.money import euros\n\n"
        "async def trackVisit(request, ctx):\n"
        "    await ctx.set_storage('seen', True)\n"
        "    return {'price': euros(250)}\n"
    ),
    "controllers/stats.py": (
        "from core.plugin import controller\n\n"
        "@controller('GET', '/stats')\n"
        "def anything(request, reply):\n    return {'stats': 1}\n"
    ),
    "hooks/price.py": "def lower(price):\n    return price - 10\n",
    "hooks/first.py": (
        "from core.hooks import on_hook\n\n"
        "@on_hook('product.price', priority=1)\nasync def half(price):\n    return price / 2\n"
    ),
    "hooks/stray.py": "raise RuntimeError('is no part')\n",
    "events/viewed.py": (
        "heard = []\n\ndef viewed(event, data):\n    heard.append(('late', event))\n"
    ),
    "events/first.py": (
        "from core.event_bus import on_event\nfrom .viewed import heard\n\n"
        "@on_event('cart.viewed', priority=1)\n"
        "def first(data):\n    heard.append(('first', data['n']))\n"
    ),
    "events/off.py": "raise RuntimeError('is off')\n",
    "middleware/stamp.py": "def stamp(result):\n    return {**result, 'stamped': True}\n",
    "jobs/nightly.py": "async def nightly(ctx):\n    await ctx.increment_storage('ran')\n",
    "widgets/hello.py": "def render(config):\n    return '<p>'\n",
}


@pytest.fixture
def cart(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "cart" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "cart"


async def test_files_are_parts(gateway: TestGateway, cart: Path) -> None:
    async with start_plugin(cart) as plugin:
        answer = await plugin.request("POST", "/track-visit", json={}, user_id="ann")
        assert answer.body == {"price": "2.50", "stamped": True}
        assert (await plugin.request("GET", "/stats", user_id="ann")).body == {"stats": 1}
        assert plugin.stored == {"seen": True}
        await plugin.run_job("nightly")
        assert plugin.stored["ran"] == 1
        # 100 / 2, then 10 less.
        assert await hooks.apply("product.price", 100) == 40
        assert [each["priority"] for each in hooks.list("product.price")] == [1, 20]
        event_system.emit("cart.viewed", {"n": 1})
        await gateway.events.deliver()
        [module] = [each for name, each in modules() if name.endswith("cart.events.viewed")]
        assert module.heard == [("first", 1), ("late", "cart.viewed")]
        [(spec, render)] = gateway.registered["widget"]
        assert (spec["file"], await render({}, {})) == ("hello.py", "<p>")


def modules() -> list[tuple[str, Any]]:
    import sys

    return list(sys.modules.items())


async def test_a_part_without_a_function_is_named(gateway: TestGateway, cart: Path) -> None:
    (cart / "controllers/trackVisit.py").write_text("def one(request): ...\n")
    with pytest.raises(LookupError, match=r"controllers/trackVisit\.py has no function handler or"):
        async with start_plugin(cart):
            pass


async def test_a_filter_that_fails_keeps_the_value(gateway: TestGateway) -> None:
    @on_hook("a.b")
    def fails(value: Any) -> Any:
        raise ValueError("no")

    @on_hook("a.b", priority=11)
    def gives_none(value: Any) -> Any:
        return None

    told: list[Any] = []

    @on_hook("a.told", type="action")
    async def action(what: Any) -> str:
        told.append(what)
        return "of no interest"

    assert await hooks.apply("a.b", {"n": 1}) == {"n": 1}
    await hooks.do("a.told", 7)
    assert told == [7]
    assert hooks.unregister("a.b", fails)
    assert not hooks.unregister("a.b", fails)

    @on_hook("a.b", required=True)
    def required(value: Any) -> Any:
        raise ValueError("secret")

    with pytest.raises(HostError, match="failed in the plugin") as raised:
        await hooks.apply("a.b", 1)
    assert raised.value.error_code == "HOOK_FAILED"
    with pytest.raises(TypeError):
        hooks.register("a.b", None)  # type: ignore[type-var] # what callers must not give
