"""Notifications to users, broadcasts to groups of them, digests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from mozaiks import _host


def _moment(at: dt.datetime | str | None) -> str | None:
    if at is None or isinstance(at, str):
        return at
    aware = at if at.tzinfo is not None else at.replace(tzinfo=dt.timezone.utc)
    return aware.isoformat()


class NotificationsManager:
    """Creates and reads notifications of users of the caller's app."""

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
            metadata: What frontends need beside it.
            channels: Through which channels; the type's own where none are given.

        Returns:
            The notification.
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
    ) -> Any:
        """Tells many users the same.

        Args:
            user_ids: The users.
            notification_type: Which kind it is, for preferences.
            title: One line.
            message: The text.
            metadata: What frontends need beside it.
            channels: Through which channels; the type's own where none are given.

        Returns:
            What was created.
        """
        payload = {
            "user_ids": list(user_ids),
            "notification_type": notification_type,
            "title": title,
            "message": message,
            "metadata": metadata,
            "channels": channels,
        }
        return await _host.request("notifications.create_bulk", payload)

    async def get_user_notifications(
        self, user_id: str, unread_only: bool = False, limit: int = 20, offset: int = 0
    ) -> list[dict[str, Any]]:
        """The notifications of a user, newest first.

        Args:
            user_id: The user.
            unread_only: Leave out what was read.
            limit: How many at most.
            offset: How many to skip.

        Returns:
            The notifications.
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
            The preferences.
        """
        preferences: dict[str, Any] = await _host.request(
            "notifications.get_preferences", {"user_id": user_id}
        )
        return preferences

    async def update_notification_preferences(
        self, user_id: str, preferences: dict[str, Any]
    ) -> dict[str, Any]:
        """Changes what a user wants to be told, and how.

        Args:
            user_id: The user.
            preferences: What to change.

        Returns:
            The preferences as they are now.
        """
        payload = {"user_id": user_id, "preferences": preferences}
        updated: dict[str, Any] = await _host.request("notifications.update_preferences", payload)
        return updated


class BroadcastService:
    """Tells all users of the caller's app, or a group of them, the same."""

    async def broadcast(
        self,
        title: str,
        message: str,
        notification_type: str = "broadcast",
        target: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        channels: list[str] | None = None,
    ) -> dict[str, Any]:
        """Sends a broadcast now.

        Args:
            title: One line.
            message: The text.
            notification_type: Which kind it is, for preferences.
            target: Whom it is for; everybody where nothing is given.
            metadata: What frontends need beside it.
            channels: Through which channels.

        Returns:
            The broadcast.
        """
        payload = {
            "title": title,
            "message": message,
            "notification_type": notification_type,
            "target": target,
            "metadata": metadata,
            "channels": channels,
        }
        sent: dict[str, Any] = await _host.request("broadcast.send", payload)
        return sent

    async def schedule(
        self, send_at: dt.datetime | str, title: str, message: str, **options: Any
    ) -> dict[str, Any]:
        """Sends a broadcast later.

        Args:
            send_at: When; without a zone it means UTC.
            title: One line.
            message: The text.
            options: As for `broadcast`.

        Returns:
            The scheduled broadcast.
        """
        payload = {"send_at": _moment(send_at), "title": title, "message": message, **options}
        scheduled: dict[str, Any] = await _host.request("broadcast.schedule", payload)
        return scheduled

    async def cancel(self, broadcast_id: str) -> bool:
        """Cancels a scheduled broadcast.

        Args:
            broadcast_id: The broadcast.

        Returns:
            Whether it had not been sent yet.
        """
        return bool(await _host.request("broadcast.cancel", {"id": broadcast_id}))

    async def list_broadcasts(self, limit: int = 20, offset: int = 0) -> list[dict[str, Any]]:
        """The broadcasts of the caller's app, newest first.

        Args:
            limit: How many at most.
            offset: How many to skip.

        Returns:
            The broadcasts.
        """
        broadcasts: list[dict[str, Any]] = await _host.request(
            "broadcast.list", {"limit": limit, "offset": offset}
        )
        return broadcasts


class DigestScheduler:
    """Gathers notifications of a user and sends them together."""

    async def schedule_digest(
        self, user_id: str, frequency: str = "daily", **options: Any
    ) -> dict[str, Any]:
        """Sends a user digests from now on.

        Args:
            user_id: The user.
            frequency: `hourly`, `daily` or `weekly`.
            options: What the gateway's digests know beside it, such as `hour` and `timezone`.

        Returns:
            The digest's schedule.
        """
        payload = {"user_id": user_id, "frequency": frequency, **options}
        schedule: dict[str, Any] = await _host.request("digest.schedule", payload)
        return schedule

    async def cancel_digest(self, user_id: str) -> bool:
        """Sends a user no more digests.

        Args:
            user_id: The user.

        Returns:
            Whether there were any.
        """
        return bool(await _host.request("digest.cancel", {"user_id": user_id}))

    async def get_digest(self, user_id: str) -> dict[str, Any] | None:
        """The schedule of a user's digests.

        Args:
            user_id: The user.

        Returns:
            The schedule, if there is one.
        """
        schedule: dict[str, Any] | None = await _host.request("digest.get", {"user_id": user_id})
        return schedule

    async def send_digest_now(self, user_id: str) -> bool:
        """Sends a user what has gathered.

        Args:
            user_id: The user.

        Returns:
            Whether anything had.
        """
        return bool(await _host.request("digest.send_now", {"user_id": user_id}))


notifications_manager = NotificationsManager()
broadcast_service = BroadcastService()
digest_scheduler = DigestScheduler()
