"""Broadcasts: the same to all users of the caller's app, or to a group of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from mozaiks import _host, _targets
from mozaiks._moments import written
from mozaiks._original import Guided

Target = str | list[str] | dict[str, Any]


class BroadcastService(Guided):
    """Tells all users of the caller's app, or a group of them, the same."""

    _known_as = "broadcast_service"

    async def broadcast(
        self,
        notification_type: str,
        title: str,
        message: str,
        target: Target = "all",
        channels: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        sender_id: str | None = None,
    ) -> dict[str, Any]:
        """Starts a broadcast.

        It goes on in batches, also over a restart of the gateway; each user is told once.

        Args:
            notification_type: Which kind it is, for preferences.
            title: One line.
            message: The text.
            target: `"all"` for every user that the gateway has seen, `{"role": "..."}` or
                `{"users": [...]}`. Existing plugins' `{"type": "subscription", "tier": "..."}`,
                `plugin` and `query` are looked for in the collection `users` of the app.
            channels: Through which channels; the type's own where none are given.
            metadata: What frontends need beside it.
            sender_id: Who it is from, for the record.

        Returns:
            The record: `id`, `status` (`queued`, `running`, `done`, `failed`, `cancelled`), and how
            many were `sent`, `suppressed` (turned off by the user) and `failed`.

        Raises:
            HostError: `VALIDATION_ERROR` with what is wrong.
            ValueError: For a target of existing plugins that names nothing or too many.
        """
        if not _targets.is_old(target):
            return await self._send(
                None, notification_type, title, message, target, channels, metadata, sender_id
            )
        assert isinstance(target, dict)
        found = await _targets.resolve(target)
        if found is None:
            nobody = {"id": None, "status": "done", "sent": 0, "suppressed": 0, "failed": 0}
            return {**nobody, "success": True, "broadcast_id": None}
        record = await self._send(
            None, notification_type, title, message, found, channels, metadata, sender_id
        )
        return {**record, "success": True, "broadcast_id": record["id"]}

    async def schedule(
        self,
        send_at: dt.datetime | str,
        notification_type: str,
        title: str,
        message: str,
        target: Target = "all",
        channels: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Starts a broadcast later.

        Args:
            send_at: When; without a zone it means UTC.
            notification_type: Which kind it is, for preferences.
            title: One line.
            message: The text.
            target: As for `broadcast`.
            channels: Through which channels; the type's own where none are given.
            metadata: What frontends need beside it.

        Returns:
            The record, as from `broadcast`.

        Raises:
            HostError: `VALIDATION_ERROR` with what is wrong.
        """
        return await self._send(
            send_at, notification_type, title, message, target, channels, metadata
        )

    async def _send(
        self,
        send_at: dt.datetime | str | None,
        notification_type: str,
        title: str,
        message: str,
        target: Target,
        channels: list[str] | None,
        metadata: dict[str, Any] | None,
        created_by: str | None = None,
    ) -> dict[str, Any]:
        payload = {
            "send_at": written(send_at),
            "notification_type": notification_type,
            "title": title,
            "message": message,
            "target": target,
            "channels": channels,
            "metadata": metadata,
            "created_by": created_by,
        }
        record: dict[str, Any] = await _host.request("broadcast.create", payload)
        return record

    async def cancel(self, broadcast_id: str) -> bool:
        """Cancels a broadcast that has not begun.

        Args:
            broadcast_id: The broadcast.

        Returns:
            Whether there was one.

        Raises:
            HostError: `CONFLICT` where it has begun.
        """
        return bool(await _host.request("broadcast.cancel", {"id": broadcast_id}))

    async def get_broadcast(self, broadcast_id: str) -> dict[str, Any]:
        """A broadcast and how far it is.

        Args:
            broadcast_id: The broadcast.

        Returns:
            The record, as from `broadcast`.

        Raises:
            HostError: `NOT_FOUND`.
        """
        record: dict[str, Any] = await _host.request("broadcast.get", {"id": broadcast_id})
        return record

    async def list_broadcasts(self) -> list[dict[str, Any]]:
        """The latest hundred broadcasts of the caller's app.

        Returns:
            The records, newest first.
        """
        records: list[dict[str, Any]] = await _host.request("broadcast.list")
        return records

    async def get_broadcast_details(self, broadcast_id: str) -> dict[str, Any]:
        """As `get_broadcast`, by the name that existing plugins use.

        Args:
            broadcast_id: The broadcast.

        Returns:
            The record.
        """
        return await self.get_broadcast(broadcast_id)

    async def get_broadcast_history(self, limit: int = 50, skip: int = 0) -> list[dict[str, Any]]:
        """As `list_broadcasts`, by the name that existing plugins use.

        Args:
            limit: How many at most.
            skip: How many of the newest to pass over.

        Returns:
            The records, newest first.
        """
        return (await self.list_broadcasts())[skip : skip + limit]


broadcast_service = BroadcastService()
