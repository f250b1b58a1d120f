"""Notifications are not part of the load."""

from typing import Any


class _NotificationsManager:
    async def create_notification(self, **notification: Any) -> dict[str, Any]:
        """Tells nobody."""
        return notification


notifications_manager = _NotificationsManager()
