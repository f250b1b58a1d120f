"""What `echo` does, as a route: the difference is what a route costs."""

from typing import Any


async def on_load(ctx: Any) -> None:
    """Serves `POST /api/plugins/route/echo`."""
    ctx.register_route("POST", "/echo", echo)


async def echo(request: Any) -> Any:
    """Returns the request's data."""
    return request.body
