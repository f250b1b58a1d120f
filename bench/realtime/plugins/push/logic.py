"""Pushes to the caller, or to everybody: as often as asked, at a pace or as fast as it goes."""

import asyncio
import time

from core.websocket_manager import websocket_manager

# Beside the text: {"t":<19 digits>,"text":""}
REST_BYTES = 34


def message(size: int) -> dict:
    return {"t": time.time_ns(), "text": "x" * (size - REST_BYTES)}


async def execute(data: dict) -> dict:
    if data["action"] == "to_user":
        reached = await websocket_manager.send_to_user(data["user_id"], message(data["bytes"]))
        return {"reached": reached}
    reached = 0
    due = time.monotonic()
    for _ in range(data["messages"]):
        if data["per_second"]:
            await asyncio.sleep(max(0, due - time.monotonic()))
            due += 1 / data["per_second"]
        reached += await websocket_manager.broadcast(message(data["bytes"]))
    return {"reached": reached}
