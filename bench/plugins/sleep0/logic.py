"""Gives the loop one turn, then answers."""

import asyncio


async def execute(data: dict) -> dict:
    await asyncio.sleep(0)
    return {"ok": True, "user": data["user_id"]}
