"""Where packages are that plugins need beside the environment's own.

Each load may have a directory of them, which stands in ``sys.path`` while such a load is there. Run
in ``_mozaiks_native``, after bootstrap.py.
"""

import importlib
import os
import sys
import types

# By the package of a load: the plugin and its directory.
SITES = {}


def enter_site(package, plugin, directory, first):
    """From here on modules are imported from a directory too.

    What an earlier load of the same plugin has imported from another directory is forgotten, so that
    this one imports its own; code that holds a module goes on with it.

    Args:
        package: The load's package.
        plugin: The plugin's name.
        directory: The directory.
        first: Whether it comes before the environment's packages, or after them and before those of
            earlier loads.
    """
    earlier = {
        other for name, other in list(SITES.values()) if name == plugin and other != directory
    }
    SITES[package] = (plugin, directory)
    if directory not in sys.path:
        places = [sys.path.index(other) for other in earlier if other in sys.path]
        sys.path.insert(0 if first else min(places, default=len(sys.path)), directory)
    for other in earlier:
        forget_modules_below(other)
    importlib.invalidate_caches()


def leave_site(package):
    """Ends the use of a load's directory, if it had one: with its last load it leaves ``sys.path``."""
    _, directory = SITES.pop(package, (None, None))
    if directory is None or any(other == directory for _, other in list(SITES.values())):
        return
    if directory in sys.path:
        sys.path.remove(directory)
    sys.path_importer_cache.pop(directory, None)
    forget_modules_below(directory)


def forget_modules_below(directory):
    """Drops what was imported from a directory from ``sys.modules``."""
    below = directory + os.sep
    # A copy, as imports on other threads change it meanwhile.
    for name, module in list(sys.modules.items()):
        if not isinstance(module, types.ModuleType):
            continue
        # The module's own: what it answers itself for missing names is code of others.
        own = object.__getattribute__(module, "__dict__")
        try:
            places = [own.get("__file__"), *(own.get("__path__") or ())]
        except Exception:
            # The parts of a namespace whose parent is gone.
            continue
        if any(type(place) is str and place.startswith(below) for place in places):
            sys.modules.pop(name, None)
