from __future__ import annotations

import importlib

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
