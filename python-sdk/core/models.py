"""The plugin's entities in the caller's app, as `ctx.models`."""

from mozaiks.plugin._models import Model, Models, models

__all__ = ["Model", "Models", "models"]
