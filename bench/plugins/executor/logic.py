"""Hands its work to the loop's own executor."""

import asyncio


def _work(user: str) -> dict:
    return {"ok": True, "user": user}


async def execute(data: dict) -> dict:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, _work, data["user_id"])
