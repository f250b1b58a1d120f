"""Waits 5 ms, as for a fast database, then answers."""

import asyncio


async def execute(data: dict) -> dict:
    await asyncio.sleep(0.005)
    return {"ok": True, "user": data["user_id"]}
