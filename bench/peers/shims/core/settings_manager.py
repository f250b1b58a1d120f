"""Settings as the gateway keeps them: one document a user, which every look reads."""

from typing import Any

from core.config.database import db


class _SettingsManager:
    async def get_plugin_settings(self, user_id: str, plugin: str) -> dict[str, Any]:
        """What the user has set for the plugin."""
        whose = {"app_id": "default", "user_id": user_id}
        found = await db["settings"].find_one(whose, {f"plugins.{plugin}": 1})
        return found["plugins"][plugin] if found else {}


settings_manager = _SettingsManager()
