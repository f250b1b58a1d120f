"""Notifications to users."""

from mozaiks.notifications import NotificationsManager, notifications_manager

__all__ = ["NotificationsManager", "notifications_manager"]
