"""Broadcasts and digests."""

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
    "broadcast_service",
    "digest_scheduler",
    "notifications_manager",
]
