from __future__ import annotations

import importlib
import subprocess
import sys

import bson
import pytest

import sdk
from core.config.database import db
from core.event_bus import event_bus


@pytest.mark.parametrize("package", ["core", "mozaiks_infra", "mozaiks_platform"])
def test_every_package_offers_the_same_objects(package: str) -> None:
    paths = {
        "config.database": ["db"],
        "event_bus": ["event_bus", "on_event"],
        "notifications": ["broadcast_service", "digest_scheduler"],
        "notifications_manager": ["notifications_manager"],
        "settings_manager": ["settings_manager"],
        "websocket_manager": ["websocket_manager"],
    }
    for path, names in paths.items():
        module = importlib.import_module(f"{package}.{path}")
        for name in names:
            assert getattr(module, name) is getattr(importlib.import_module(f"core.{path}"), name)


def test_sdk_has_the_short_names() -> None:
    assert sdk.ObjectId is bson.ObjectId
    assert sdk.get_db() is db
    assert sdk.get_collection("a") == db["a"]


def test_without_a_gateway_it_is_said_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"mozaiks\.testing"):
        event_bus.publish("a:b", {})


def test_whoever_does_without_a_database_does_without_pymongo() -> None:
    def says(code: str) -> str:
        asked = f"{code}\nimport sys\nprint('pymongo' in sys.modules)"
        return subprocess.check_output([sys.executable, "-c", asked], text=True).strip()

    without = (
        "core, mozaiks.plugin._life, core.event_bus, core.notifications, core.settings_manager"
    )
    assert says(f"import {without}") == "False"
    assert says("from core import db") == "True"
    assert says("from mozaiks import DatabaseUnavailable") == "True"


@pytest.mark.parametrize("names", ["ctx.db", "[x async for x in ctx.db['a'].find()]", "ctx.http"])
def test_what_a_plugin_names_is_imported_with_it(names: str) -> None:
    # In a function within a function, where plugins often have it.
    plugin = f"async def on_load(ctx):\n    async def route(request):\n        return {names}\n"
    code = (
        "import sys, types\nfrom mozaiks.plugin._life import Life\n"
        "module = types.ModuleType('entry')\n"
        f"exec({plugin!r}, module.__dict__)\nLife('entry', module, None)\n"
        "print('pymongo' in sys.modules)"
    )
    asked = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert asked == str("db" in names)
