"""Broadcasts and digests, and single channels for plugins that name them."""

from typing import TYPE_CHECKING

from mozaiks import _original
from mozaiks.channels import (
    NotificationChannel,
    email_channel,
    in_app_channel,
    sms_channel,
    web_push_channel,
)
from mozaiks.notifications import (
    BroadcastService,
    DigestScheduler,
    broadcast_service,
    digest_scheduler,
    notifications_manager,
)

__all__ = [
    "BroadcastService",
    "DigestScheduler",
    "NotificationChannel",
    "broadcast_service",
    "digest_scheduler",
    "email_channel",
    "in_app_channel",
    "notifications_manager",
    "sms_channel",
    "web_push_channel",
]

if not TYPE_CHECKING:
    __getattr__ = _original.guide(__name__, _original.IN_NOTIFICATIONS)
