"""Does something every five minutes, on one gateway of however many there are."""

from datetime import datetime, timezone


async def on_load(ctx):
    """Registers a route that tells how often it has run."""

    async def status(request):
        return {
            "runs": await ctx.get_storage("runs", 0),
            "last_run": await ctx.get_storage("last_run"),
        }

    ctx.register_route("GET", "/status", status)


async def on_enable(ctx):
    """Schedules the job; it ends when the plugin is disabled."""

    async def tick():
        runs = await ctx.increment_storage("runs")
        await ctx.set_storage("last_run", datetime.now(timezone.utc).isoformat())
        ctx.logger.info("ran", runs=runs)

    ctx.schedule_task("*/5 * * * *", tick, name="tick")
