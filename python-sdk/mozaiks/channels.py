"""A notification through one channel alone, as existing plugins send it."""

from __future__ import annotations

from typing import Any

from mozaiks._original import Guided
from mozaiks.notifications import notifications_manager


class NotificationChannel(Guided):
    """One of the channels; notifications_manager serves all of them."""

    _known_as = "channel"

    def __init__(self, channel_id: str) -> None:
        """Names the channel.

        Args:
            channel_id: `in_app`, `email`, `sms` or `push`.
        """
        self.channel_id = channel_id

    async def send(
        self,
        user_id: str,
        notification_type: str,
        title: str,
        message: str,
        metadata: dict[str, Any] | None = None,
        template_data: dict[str, Any] | None = None,
    ) -> bool:
        """Tells a user something through this channel, if the user allows it.

        Args:
            user_id: The user.
            notification_type: Which kind it is, for preferences.
            title: One line.
            message: The text.
            metadata: What frontends and templates need beside it.
            template_data: Further fields of the metadata.

        Returns:
            Whether it goes out.
        """
        created = await notifications_manager.create_notification(
            user_id,
            notification_type,
            title,
            message,
            {**(metadata or {}), **(template_data or {})},
            [self.channel_id],
        )
        return bool(created.get("delivered"))


in_app_channel = NotificationChannel("in_app")
email_channel = NotificationChannel("email")
sms_channel = NotificationChannel("sms")
web_push_channel = NotificationChannel("push")
