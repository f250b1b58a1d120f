"""Pushes cost the peers nothing."""

from typing import Any


class _WebSocketManager:
    async def send_to_user(self, user_id: str, message: dict[str, Any]) -> int:
        """Reaches nobody."""
        return 0


websocket_manager = _WebSocketManager()
