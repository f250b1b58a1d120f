"""Pushes to connected users."""

from mozaiks.websocket import WebSocketManager, websocket_manager

__all__ = ["WebSocketManager", "websocket_manager"]
