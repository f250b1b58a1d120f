"""Filters and actions between plugins."""

from mozaiks.hooks import Hooks, hooks, on_hook

__all__ = ["Hooks", "hooks", "on_hook"]
