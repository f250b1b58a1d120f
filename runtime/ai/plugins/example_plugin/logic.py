"""Shows everything that a plugin can do with the gateway: each part is as short as it can be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any

from core.plugin import PluginContext, Request

# Where the plugin counts, in its own storage.
REQUESTS, PINGS, RUNS, LAST_RUN = "requests", "pings", "runs", "last_run"

# What POST /echo takes: any JSON object.
ECHO = {"type": "object", "required": ["body"], "properties": {"body": {"type": "object"}}}

# Under these the gateway puts into a JSON object who sent it.
IDENTITY = ("user_id", "app_id", "_context")


async def on_load(ctx: PluginContext) -> None:
    """Registers routes and middleware: they belong to the code and are there from now on."""

    async def count(request: Request, call_next: Callable[..., Awaitable[Any]]) -> Any:
        if ctx.get_config("count_requests"):
            await ctx.increment_storage(REQUESTS)
        return await call_next(request)

    async def hello(request: Request) -> dict[str, Any]:
        return {"success": True, "message": ctx.get_config("greeting"), "plugin": ctx.plugin.name}

    async def echo(request: Request) -> dict[str, Any]:
        sent = {name: value for name, value in request.body.items() if name not in IDENTITY}
        ctx.emit("example_plugin:echoed", {"keys": sorted(sent)})
        return {"success": True, "echo": sent}

    async def stats(request: Request) -> dict[str, Any]:
        return {
            "success": True,
            "requests": await ctx.get_storage(REQUESTS, 0),
            "pings": await ctx.get_storage(PINGS, 0),
            "runs": await ctx.get_storage(RUNS, 0),
            "last_run": await ctx.get_storage(LAST_RUN),
            "version": ctx.plugin.version,
        }

    ctx.register_middleware(count)
    # Public, so that they can be tried without a token; limited for that reason.
    ctx.register_route("GET", "/hello", hello, requires_auth=False, rate_limit=600)
    ctx.register_route(
        "POST", "/echo", echo, requires_auth=False, rate_limit=600, request_schema=ECHO
    )
    ctx.register_route("GET", "/stats", stats, requires_auth=False, rate_limit=600)
    ctx.logger.info("loaded", version=ctx.plugin.version)


async def on_enable(ctx: PluginContext) -> None:
    """Begins what ends when the plugin is disabled: sockets, jobs, events."""

    async def ping(data: dict[str, Any], connection_id: str) -> None:
        pings = await ctx.increment_storage(PINGS)
        pong = {"type": "example_pong", "pings": pings, "data": data.get("data")}
        await ctx.send_websocket_message(connection_id, pong)

    async def every_five_minutes() -> None:
        runs = await ctx.increment_storage(RUNS)
        await ctx.set_storage(LAST_RUN, datetime.now(timezone.utc).isoformat())
        ctx.logger.info("the job ran", runs=runs)

    async def note_echo(data: dict[str, Any]) -> None:
        ctx.logger.info("echoed", keys=data["keys"])

    async def note_settings(data: dict[str, Any]) -> None:
        ctx.logger.info("a user has other settings", plugin=data.get("plugin"))

    # `ping` itself is the gateway's own.
    ctx.on_websocket_message("example_ping", ping)
    ctx.schedule_task("*/5 * * * *", every_five_minutes, name="heartbeat")
    ctx.on("example_plugin:echoed", note_echo)
    ctx.on("settings_updated", note_settings)
    # A gateway of many apps enables it once for all of them: there is no app to keep this in.
    if ctx.app_id is not None:
        await ctx.set_storage("enabled_at", datetime.now(timezone.utc).isoformat())


def on_config_change(ctx: PluginContext, changed: list[str]) -> None:
    """Hears which keys an admin has changed; `get_config` gives their new values."""
    ctx.logger.info("configured", changed=changed)


async def on_disable(ctx: PluginContext) -> None:
    """Hears that sockets, jobs and events of it have ended."""
    if ctx.app_id is not None:
        await ctx.delete_storage("enabled_at")
    ctx.logger.info("disabled")


async def on_unload(ctx: PluginContext) -> None:
    """Hears that this load of its code ends: the last moment to let go of something."""
    ctx.logger.info("unloaded")


async def check_health(ctx: PluginContext) -> dict[str, Any]:
    """Says how it is, when an admin or the gateway asks."""
    return {"healthy": True, "requests": await ctx.get_storage(REQUESTS, 0)}
