"""Typed actions: functions whose signature says what a client may send."""

from mozaiks.actions._call import Call
from mozaiks.actions._declare import action
from mozaiks.actions._errors import ActionError
from mozaiks.actions._field import Field

__all__ = ["ActionError", "Call", "Field", "action"]
