"""What a plugin's life and routes are made of: the context, requests and responses."""

from mozaiks._declare import controller, job, listener, middleware
from mozaiks.plugin._context import PluginContext
from mozaiks.plugin._info import PluginInfo
from mozaiks.plugin._request import Request, User
from mozaiks.plugin._response import Reply, Response, redirect

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
