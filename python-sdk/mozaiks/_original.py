"""Names of the platform that existing plugins were written for, and what to use for each.

What can be as it was, is: it stands with the managers. What cannot fails at the import or the use
with a sentence, so that nobody has to guess.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

# The packages of the SDK that have the original's names.
PACKAGES = ("core", "mozaiks_infra", "mozaiks_platform")

_OWN_TOKENS = "who calls stands in `data['_context']`, from the verified token"
_PLANS = "the gateway keeps no plans; ask for a role in `data['_context']['roles']`"
_BY_CHANNEL = "notifications_manager.create_notification(…, channels=[…])"

# Modules below `core`; what is said of one is said of those below it.
MODULES = {
    "ai_bridge": "the gateway runs plugins alone; reach the AI runtime with mozaiks.http",
    "ai_runtime": "the gateway runs plugins alone; reach the AI runtime with mozaiks.http",
    "analytics": "publish an event (core.event_bus) and count it in a plugin",
    "billing": _PLANS,
    "config.config_loader": "the plugin's own configuration: `ctx.get_config()` in `on_load(ctx)`",
    "config.settings": "the plugin's own configuration: `ctx.get_config()` in `on_load(ctx)`",
    "director": "routes: `ctx.register_route(method, path, handler)` in `on_load(ctx)`",
    "entitlements": _PLANS,
    "http": "routes: `ctx.register_route(method, path, handler)` in `on_load(ctx)`",
    "http_utils": "routes: `ctx.register_route(method, path, handler)` in `on_load(ctx)`",
    "insights": "publish an event (core.event_bus); operators read /metrics",
    "metrics": "publish an event (core.event_bus); operators read /metrics",
    "notifications.broadcast": "from core.notifications import broadcast_service",
    "notifications.channels": "from core.notifications import in_app_channel, email_channel, …",
    "notifications.scheduler": "from core.notifications import digest_scheduler",
    "notifications.templates": "notification_templates.json of the operator",
    "ops": "publish an event (core.event_bus); operators read /metrics",
    "plugin_manager": "events between plugins (core.event_bus); they do not call each other",
    "routes": "routes: `ctx.register_route(method, path, handler)` in `on_load(ctx)`",
    "runtime": "the gateway runs plugins alone; reach the AI runtime with mozaiks.http",
    "state_manager": "`ctx.get_storage` and `ctx.set_storage`, or core.config.database",
    "subscription_manager": _PLANS,
    "subscription_stub": _PLANS,
    "utils": "Python's own; log with logging.getLogger('mozaiks_plugins.NAME')",
    "workflows": "the gateway runs plugins alone; reach the AI runtime with mozaiks.http",
}

# Other packages of the original.
TOPS = {
    "plugins": "each plugin is a package of its own: `from .module import name`",
    "security": _OWN_TOKENS,
    "mozaiks_ai": "the gateway runs plugins alone; reach the AI runtime with mozaiks.http",
    "mozaiksai": "the gateway runs plugins alone; reach the AI runtime with mozaiks.http",
}

# Names in modules that are there.
IN_DATABASE = {
    "AsyncIOMotorClient": "`db`; no plugin gets a client of its own",
    "client": "`db`; no plugin gets a client of its own",
    "mongo_client": "`db`; no plugin gets a client of its own",
    "db_enterprise": "`db`, the database of the app",
    "enterprises_collection": "`db`, the database of the app",
    "settings_collection": "settings_manager of core.settings_manager",
    "notifications_collection": "notifications_manager of core.notifications_manager",
    "db_cache": "`collection.find_one(…)`; nothing is cached in between",
    "get_cached_document": "`collection.find_one(query)`",
    "update_and_invalidate": "`collection.update_one(query, update)`",
    "make_cache_key": "`collection.find_one(…)`; nothing is cached in between",
    "with_retry": "nothing: the gateway tries again by itself where that is safe",
    "verify_connection": "nothing: /ready says whether the database is there",
    "initialize_database": "`collection.create_index(…)` for the plugin's own collections",
}
IN_NOTIFICATIONS = {
    "template_renderer": "notification_templates.json of the operator",
    "get_enabled_channels": "GET /api/notifications/config",
    "get_all_channels_config": "GET /api/notifications/config",
    "CHANNELS": _BY_CHANNEL,
}

# Attributes of the managers, by the manager's name.
OF_MANAGERS = {
    "event_bus": {
        "reset_stats": "the numbers are those of all plugins: keep get_stats() and subtract",
        "stats": "get_stats()",
        "event_history": "get_event_history()",
        "subscribers": "subscribe() and unsubscribe(); who else listens is not told",
        "start_background_processing": "nothing: the gateway delivers events by itself",
        "stop_background_processing": "nothing: the gateway delivers events by itself",
    },
    "websocket_manager": {
        "connect": "nothing: the gateway accepts connections at /ws; on_message(type, handler) "
        "hears what they send",
        "disconnect": "nothing: the gateway notices; the event `user:disconnected` tells of it",
    },
    "notifications_manager": {
        "send_email": "create_notification(…, channels=['email'])",
        "get_notification_config": "GET /api/notifications/config",
        "config": "GET /api/notifications/config",
        "start_background_processing": "nothing: the gateway delivers by itself",
        "stop_background_processing": "nothing: the gateway delivers by itself",
    },
    "settings_manager": {
        "settings_config": "`settings_schema` of the plugin's manifest",
        "load_settings_config": "`settings_schema` of the plugin's manifest",
        "refresh_settings_config": "`settings_schema` of the plugin's manifest",
        "update_settings_visibility": "`settings_schema` of the plugin's manifest",
    },
    "broadcast_service": {
        "verify_admin_access": _OWN_TOKENS,
        "admin_key": _OWN_TOKENS,
    },
    "digest_scheduler": {
        "start": "nothing: the gateway sends by itself",
        "stop": "nothing: the gateway sends by itself",
    },
    "channel": {
        "is_enabled": "GET /api/notifications/config",
        "get_user_notifications": "notifications_manager.get_user_notifications(user_id)",
        "mark_read": "notifications_manager.mark_notification_read(user_id, id)",
        "mark_all_read": "notifications_manager.mark_all_notifications_read(user_id)",
        "get_unread_count": "notifications_manager.get_user_notifications(…, unread_only=True)",
        "delete_notification": "notifications_manager.delete_notification(user_id, id)",
        "save_subscription": "POST /api/push/subscribe",
        "remove_subscription": "POST /api/push/unsubscribe",
        "get_public_key": "GET /api/push/vapid-public-key",
    },
}


def is_explained(module: str) -> bool:
    """Whether an import of it says what to use instead.

    Args:
        module: Its full name.

    Returns:
        Whether nothing has to be installed for it.
    """
    return module.partition(".")[0] in PACKAGES or _instead(module) is not None


def _instead(module: str) -> str | None:
    top, _, below = module.partition(".")
    if top in TOPS:
        return TOPS[top]
    if top not in PACKAGES:
        return None
    while below:
        if below in MODULES:
            return MODULES[below]
        below = below.rpartition(".")[0]
    return None


class _Guide(MetaPathFinder):
    """Asked last: what it is asked for is not there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Says what to use for a module of the original.

        Args:
            fullname: The module.
            path: Where it was looked for.
            target: Unused.

        Returns:
            None for any other.

        Raises:
            ModuleNotFoundError: With the sentence.
        """
        instead = _instead(fullname)
        if instead is None:
            return None
        raise ModuleNotFoundError(
            f"{fullname} is not offered here; instead: {instead}", name=fullname
        )


def install() -> None:
    """Lets imports of the original's modules say what to use."""
    if not any(type(finder).__qualname__ == _Guide.__qualname__ for finder in sys.meta_path):
        sys.meta_path.append(_Guide())


def guide(module: str, names: dict[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module.

    Args:
        module: Its name.
        names: What to use for names that it does not have.

    Returns:
        A function that finds nothing, and says why.
    """

    def find(name: str) -> Any:
        if name in names:
            raise ImportError(f"{module} has no {name}; instead: {names[name]}", name=module)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find


class Guided:
    """A manager that says what to use for what the original's offered and this one does not."""

    _known_as: ClassVar[str]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            instead = OF_MANAGERS[type(self)._known_as].get(name)
            if instead is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise AttributeError(f"{self._known_as}.{name} is not offered here; instead: {instead}")
