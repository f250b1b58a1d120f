"""Groups: what the gateway is asked, and the stand-in of tests."""

import pytest

from core.websocket_manager import websocket_manager
from mozaiks import HostError
from mozaiks.testing import TestGateway


async def test_who_is_in_a_group_gets_its_messages(gateway: TestGateway) -> None:
    first, second = gateway.websocket.connect("ann"), gateway.websocket.connect("ann")
    gateway.websocket.connect("bob")
    assert await websocket_manager.subscribe(first, "room:1") == 1
    assert await websocket_manager.subscribe("bob", "room:1", presence=True) == 1
    assert await websocket_manager.subscribe("nobody", "room:1") == 0
    assert websocket_manager.presence("room:1") == {"users": ["ann", "bob"], "count": 2}
    assert await websocket_manager.send_to_group("room:1", {"type": "said"}) == 2
    assert gateway.websocket.groups.sent_to("room:1") == [{"type": "said"}]

    assert await websocket_manager.subscribe("ann", "room:1") == 2
    assert await websocket_manager.send_to_group("room:1", {"type": "said"}) == 3
    gateway.websocket.disconnect(second)
    assert await websocket_manager.send_to_group("room:1", {"type": "said"}) == 2
    assert await websocket_manager.unsubscribe("ann", "room:1") is True
    assert await websocket_manager.unsubscribe("ann", "room:1") is False
    assert websocket_manager.presence("room:1") == {"users": ["bob"], "count": 1}
    assert websocket_manager.presence("room:2") == {"users": [], "count": 0}


async def test_a_group_has_a_name(gateway: TestGateway) -> None:
    gateway.websocket.connect("ann")
    for name in ("", "x" * 129):
        with pytest.raises(HostError) as refused:
            await websocket_manager.subscribe("ann", name)
        assert refused.value.error_code == "VALIDATION_ERROR"
