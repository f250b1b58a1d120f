"""Notifications to users, broadcasts to groups of them, digests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from mozaiks import _host
from mozaiks._moments import written
from mozaiks._original import Guided
from mozaiks.broadcasts import BroadcastService, Target, broadcast_service


class Preferences(dict[str, Any]):
    """A user's preferences, which also answer to the names of existing plugins.

    `email_enabled`, `push_enabled`, `digest_frequency` and the name of a type are found where they
    stand here; they are no entries of their own, so that what is written back contradicts nothing.
    """

    def __missing__(self, name: str) -> Any:
        channel = name.removesuffix("_enabled")
        if channel != name and channel in self.get("channels", {}):
            return self["channels"][channel]
        if name == "digest_frequency" and "digest" in self:
            return {"off": "none"}.get(self["digest"], self["digest"])
        return self["types"][name] if name in self.get("types", {}) else _no_such(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As for any dict, with the further names.

        Args:
            name: What is asked for.
            default: What to give where there is none.

        Returns:
            The value.
        """
        try:
            return self[name] if name not in ("channels", "types") else super().get(name, default)
        except KeyError:
            return default


def _no_such(name: str) -> Any:
    raise KeyError(name)


class NotificationsManager(Guided):
    """Creates and reads notifications of users of the caller's app."""

    _known_as = "notifications_manager"

    async def create_notification(
        self,
        user_id: str,
        notification_type: str,
        title: str,
        message: str,
        metadata: dict[str, Any] | None = None,
        channels: list[str] | None = None,
    ) -> dict[str, Any]:
        """Tells a user something: kept, pushed, and sent through channels as the user prefers.

        Args:
            user_id: The user.
            notification_type: Which kind it is, for preferences.
            title: One line.
            message: The text.
            metadata: What frontends need beside it. With a `dedup_key` in it the same is created
                once a day.
            channels: Through which channels (`in_app`, `email`, `sms`, `push`); the type's own
                where none are given.

        Returns:
            The notification, with `delivered` and `channels` (where it goes). Where the user has
            turned it off, `delivered` is false, `id` is None and `reason` says why; `skipped` names
            the channels that it does not go to.

        Raises:
            HostError: `VALIDATION_ERROR` for parts that are missing or too large, or a template
                that needs what is not there.
        """
        payload = {
            "user_id": user_id,
            "notification_type": notification_type,
            "title": title,
            "message": message,
            "metadata": metadata,
            "channels": channels,
        }
        notification: dict[str, Any] = await _host.request("notifications.create", payload)
        return notification

    async def create_bulk_notifications(
        self,
        user_ids: Iterable[str],
        notification_type: str,
        title: str,
        message: str,
        metadata: dict[str, Any] | None = None,
        channels: list[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Tells many users the same; for more than a thousand there are broadcasts.

        Args:
            user_ids: The users.
            notification_type: Which kind it is, for preferences.
            title: One line.
            message: The text.
            metadata: What frontends need beside it.
            channels: Through which channels; the type's own where none are given.

        Returns:
            For each user what `create_notification` gives, or `user_id`, `error` and `error_code`.
        """
        payload = {
            "user_ids": list(user_ids),
            "notification_type": notification_type,
            "title": title,
            "message": message,
            "metadata": metadata,
            "channels": channels,
        }
        created: list[dict[str, Any]] = await _host.request("notifications.create_bulk", payload)
        return created

    async def get_user_notifications(
        self, user_id: str, unread_only: bool = False, limit: int = 20, offset: int = 0
    ) -> list[dict[str, Any]]:
        """The notifications of a user, newest first.

        Args:
            user_id: The user.
            unread_only: Leave out what was read.
            limit: How many, at most 200.
            offset: How many to skip.

        Returns:
            The notifications: `id`, `type`, `title`, `message`, `metadata`, `read`, `created_at`.
        """
        payload = {
            "user_id": user_id,
            "unread_only": unread_only,
            "limit": limit,
            "offset": offset,
        }
        notifications: list[dict[str, Any]] = await _host.request("notifications.list", payload)
        return notifications

    async def mark_notification_read(
        self, user_id: str, notification_id: str, read: bool = True
    ) -> bool:
        """Marks a notification of a user as read, or as unread.

        Args:
            user_id: The user.
            notification_id: The notification.
            read: What it is from now on.

        Returns:
            Whether the user has such a notification.
        """
        payload = {"user_id": user_id, "id": notification_id, "read": read}
        return bool(await _host.request("notifications.mark_read", payload))

    async def mark_all_notifications_read(self, user_id: str) -> int:
        """Marks all notifications of a user as read.

        Args:
            user_id: The user.

        Returns:
            How many were unread.
        """
        return int(await _host.request("notifications.mark_all_read", {"user_id": user_id}))

    async def delete_notification(self, user_id: str, notification_id: str) -> bool:
        """Deletes a notification of a user.

        Args:
            user_id: The user.
            notification_id: The notification.

        Returns:
            Whether the user had such a notification.
        """
        payload = {"user_id": user_id, "id": notification_id}
        return bool(await _host.request("notifications.delete", payload))

    async def get_user_notification_preferences(self, user_id: str) -> dict[str, Any]:
        """What a user wants to be told, and how.

        Args:
            user_id: The user.

        Returns:
            `channels` (each on or off), `types` (what the user has said of each), `digest` (`off`,
            `daily`, `weekly`), `email` and `phone`.
        """
        return Preferences(
            await _host.request("notifications.get_preferences", {"user_id": user_id})
        )

    async def update_notification_preferences(
        self, user_id: str, preferences: dict[str, Any]
    ) -> dict[str, Any]:
        """Changes what a user wants to be told, and how.

        Args:
            user_id: The user.
            preferences: What to change, in the same shape; what is not named stays. A type or a
                channel is also turned on or off by its name alone, `{"task_due": False}`, or
                described by it, `{"task_due": {"enabled": True, "channels": ["in_app"]}}`.

        Returns:
            The preferences as they are now.
        """
        payload = {"user_id": user_id, "preferences": preferences}
        return Preferences(await _host.request("notifications.update_preferences", payload))


class DigestScheduler(Guided):
    """Notifications for later, and mail that is gathered."""

    _known_as = "digest_scheduler"

    async def schedule_notification(
        self,
        user_id: str,
        notification_type: str,
        title: str,
        message: str,
        scheduled_for: dt.datetime | str,
        metadata: dict[str, Any] | None = None,
        channels: list[str] | None = None,
    ) -> dict[str, Any]:
        """Creates a notification later, also where the gateway was restarted until then.

        Args:
            user_id: The user.
            notification_type: Which kind it is, for preferences.
            title: One line.
            message: The text.
            scheduled_for: When; without a zone it means UTC.
            metadata: What frontends need beside it.
            channels: Through which channels; the type's own where none are given.

        Returns:
            `id`, `user_id`, `scheduled_for` and `status`.

        Raises:
            HostError: `VALIDATION_ERROR` with what is wrong.
        """
        payload = {
            "user_id": user_id,
            "notification_type": notification_type,
            "title": title,
            "message": message,
            "scheduled_for": written(scheduled_for),
            "metadata": metadata,
            "channels": channels,
        }
        scheduled: dict[str, Any] = await _host.request("digest.schedule", payload)
        return scheduled

    async def cancel(self, scheduled_id: str | dict[str, Any]) -> bool:
        """Cancels a notification for later.

        Args:
            scheduled_id: Its id, or what `schedule_notification` gave.

        Returns:
            Whether there was one.

        Raises:
            HostError: `CONFLICT` where it has gone out.
        """
        if isinstance(scheduled_id, dict):
            scheduled_id = scheduled_id["id"]
        return bool(await _host.request("digest.cancel", {"id": scheduled_id}))

    async def cancel_scheduled(self, notification_id: str | dict[str, Any]) -> bool:
        """As `cancel`, by the name that existing plugins use.

        Args:
            notification_id: Its id, or what `schedule_notification` gave.

        Returns:
            Whether there was one.
        """
        return await self.cancel(notification_id)

    async def get_user_digest_preference(self, user_id: str) -> str:
        """How often a user's mail is gathered.

        Args:
            user_id: The user.

        Returns:
            `none`, `daily` or `weekly`.
        """
        preferences = await notifications_manager.get_user_notification_preferences(user_id)
        return str(preferences.get("digest_frequency", "none"))

    async def set_user_digest_preference(self, user_id: str, frequency: str) -> bool:
        """Says how often a user's mail is gathered.

        Args:
            user_id: The user.
            frequency: `none`, `daily` or `weekly`.

        Returns:
            False for any other frequency, which changes nothing.
        """
        if frequency not in ("none", "daily", "weekly"):
            return False
        digest = "off" if frequency == "none" else frequency
        await notifications_manager.update_notification_preferences(user_id, {"digest": digest})
        return True

    async def list_scheduled(self) -> list[dict[str, Any]]:
        """The latest hundred notifications for later of the caller's app, with what became of each.

        Returns:
            The notifications, newest first.
        """
        scheduled: list[dict[str, Any]] = await _host.request("digest.list")
        return scheduled

    async def schedule_digest(self, user_id: str, frequency: str = "daily") -> dict[str, Any]:
        """Gathers a user's mail from now on.

        Args:
            user_id: The user.
            frequency: `daily` or `weekly`.

        Returns:
            The user's preferences as they are now.
        """
        return await notifications_manager.update_notification_preferences(
            user_id, {"digest": frequency}
        )

    async def cancel_digest(self, user_id: str) -> dict[str, Any]:
        """Sends a user's mail one by one again.

        Args:
            user_id: The user.

        Returns:
            The user's preferences as they are now.
        """
        return await notifications_manager.update_notification_preferences(
            user_id, {"digest": "off"}
        )


notifications_manager = NotificationsManager()
digest_scheduler = DigestScheduler()

__all__ = [
    "BroadcastService",
    "DigestScheduler",
    "NotificationsManager",
    "Preferences",
    "Target",
    "broadcast_service",
    "digest_scheduler",
    "notifications_manager",
]
