"""Functions whose signature says what a client may send."""

from mozaiks.actions import ActionError, Call, Field, action

__all__ = ["ActionError", "Call", "Field", "action"]
