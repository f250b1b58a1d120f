"""Settings are not part of the load."""

from typing import Any


class _SettingsManager:
    async def get_plugin_settings(self, user_id: str, plugin: str) -> dict[str, Any]:
        """None are kept."""
        return {}


settings_manager = _SettingsManager()
