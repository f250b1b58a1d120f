"""What a plugin's life and routes are made of."""

from mozaiks.plugin import (
    PluginContext,
    PluginInfo,
    Reply,
    Request,
    Response,
    User,
    controller,
    job,
    listener,
    middleware,
    redirect,
)

__all__ = [
    "PluginContext",
    "PluginInfo",
    "Reply",
    "Request",
    "Response",
    "User",
    "controller",
    "job",
    "listener",
    "middleware",
    "redirect",
]
