"""What users have set for each plugin."""

from __future__ import annotations

from typing import Any

from mozaiks import _host, _json
from mozaiks._original import Guided
from mozaiks.notifications import notifications_manager


class SettingsManager(Guided):
    """Reads and writes settings of users of the caller's app."""

    _known_as = "settings_manager"

    async def get_plugin_settings(self, user_id: str, plugin_name: str) -> dict[str, Any]:
        """What a user has set for a plugin.

        Args:
            user_id: The user.
            plugin_name: The plugin.

        Returns:
            The settings, empty if there are none.
        """
        payload = {"user_id": user_id, "plugin": plugin_name}
        settings: dict[str, Any] = await _host.request("settings.get", payload)
        return settings

    async def save_plugin_settings(
        self, user_id: str, plugin_name: str, settings: dict[str, Any]
    ) -> bool:
        """Replaces what a user has set for a plugin and publishes `settings_updated`.

        Args:
            user_id: The user.
            plugin_name: The plugin.
            settings: All settings, at most 64 KiB; they must fit the plugin's `settings_schema`.

        Returns:
            True.

        Raises:
            TypeError: If the settings are no dict or hold what JSON cannot carry.
            HostError: `VALIDATION_ERROR`, with what does not fit in `details`.
        """
        if not isinstance(settings, dict):
            raise TypeError("settings must be a dict")
        # Encoded here once: entries that are None are values, not missing arguments.
        payload = _json.dumps({"user_id": user_id, "plugin": plugin_name, "settings": settings})
        await _host.request_encoded("settings.save", payload)
        return True

    async def get_user_settings(self, user_id: str) -> dict[str, dict[str, Any]]:
        """What a user has set for all plugins.

        Args:
            user_id: The user.

        Returns:
            Settings by plugin.
        """
        settings: dict[str, dict[str, Any]] = await _host.request(
            "settings.get_all", {"user_id": user_id}
        )
        return settings

    async def get_notification_preferences(self, user_id: str) -> dict[str, Any]:
        """What a user wants to be told, as `notifications_manager` gives it.

        Args:
            user_id: The user.

        Returns:
            The preferences.
        """
        return await notifications_manager.get_user_notification_preferences(user_id)

    async def save_notification_preferences(
        self, user_id: str, preferences: dict[str, Any]
    ) -> dict[str, Any]:
        """Changes what a user wants to be told, as `notifications_manager` does.

        Args:
            user_id: The user.
            preferences: What to change.

        Returns:
            The preferences as they are now.
        """
        return await notifications_manager.update_notification_preferences(user_id, preferences)


settings_manager = SettingsManager()
