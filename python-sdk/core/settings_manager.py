"""Settings of users for plugins."""

from mozaiks.settings import SettingsManager, settings_manager

__all__ = ["SettingsManager", "settings_manager"]
