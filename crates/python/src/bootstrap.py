"""What the gateway needs in Python: loading plugins, logging, small adapters.

Loaded once into the module ``_mozaiks_native`` beside its native functions.
"""

import asyncio
import builtins
import functools
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import logging
import opcode
import os
import socket
import sys
import types

from _mozaiks_bytecode import key_of, read_code

# MongoDB's code; the gateway and the SDK use it too.
OUT_OF_DISK_SPACE = 14031
TROUBLES = (
    "DATABASE_UNAVAILABLE",
    "STORAGE_FULL",
    "PERMISSION_DENIED",
    "QUOTA_EXCEEDED",
    "ENTITY_NOT_MIGRATED",
)

# Python 3.11 and newer.
GROUP = getattr(builtins, "BaseExceptionGroup", None)


# A byte for each instruction: 1 where CPython looks for asynchronous exceptions before the function
# goes on. Where it does not, what the instruction has taken (a lock) might not be given back.
# 2 marks what begins the exceptional end of a `with`.
CHECKED_INSTRUCTIONS = bytes(
    2
    if name == "WITH_EXCEPT_START"
    else name == "RESUME"
    or ("CALL" in name and "INTRINSIC" not in name)
    or ("JUMP" in name and not name.endswith("NO_INTERRUPT"))
    for name in opcode.opname[:256]
)


# What shows that a module has a life beyond `execute`; `mozaiks.plugin._life` knows what each means.
LIFECYCLE = frozenset(
    ["on_load", "onLoad", "initialize", "Initialize", "register_routes", "registerRoutes", "RegisterRoutes", "on_enable", "onEnable", "on_disable", "onDisable", "on_unload", "onUnload", "cleanup", "Cleanup", "check_health", "checkHealth", "on_config_change", "onConfigChange", "plugin", "new_plugin", "NewPlugin"]
)


class HostError(Exception):
    """The gateway did not do what was asked.

    Attributes:
        code: A code such as ``VALIDATION_ERROR``.
        message: What is wrong, in a sentence.
        details: More, as bytes in the payload's format, or None.
    """

    def __init__(self, code, message, details=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


class PluginInterrupted(BaseException):
    """Raised inside plugin code that holds a thread past its time limit."""


async def await_any(awaitable):
    """Awaits anything awaitable as a coroutine."""
    return await awaitable


def is_async(function):
    """Whether calling ``function`` gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)
    )


def host_trouble(error, depth=0):
    """Which trouble an exception is that the gateway has told of, if any.

    Only types are looked at, and what PyMongo's own classes and the SDK's keep in the exception, so
    that no code of the plugin runs.

    Args:
        error: What was raised.
        depth: How many groups it is in.

    Returns:
        A code of `TROUBLES` and the permission that is missing (or an empty string), or None.
    """
    kind = type(error)
    errors = sys.modules.get("pymongo.errors")
    if errors is not None:
        if issubclass(kind, errors.ConnectionFailure):
            return "DATABASE_UNAVAILABLE", ""
        if issubclass(kind, errors.OperationFailure):
            kept = object.__getattribute__(error, "__dict__")
            code = kept.get("_OperationFailure__code")
            return ("STORAGE_FULL", "") if code == OUT_OF_DISK_SPACE else None
    sdk = sys.modules.get("mozaiks.errors")
    if issubclass(kind, HostError) or (sdk is not None and issubclass(kind, sdk.HostError)):
        kept = object.__getattribute__(error, "__dict__")
        code = kept.get("error_code", kept.get("code"))
        permission = kept.get("permission")
        if type(code) is not str or code not in TROUBLES:
            return None
        return code, permission if type(permission) is str else ""
    if GROUP is not None and issubclass(kind, GROUP) and depth < 8:
        # A task group in which nothing else went wrong.
        found = [host_trouble(each, depth + 1) for each in GROUP.exceptions.__get__(error)]
        return found[0] if all(found) else None
    return None


# Packages that are installed by another name than they are imported by.
INSTALLED_AS = {
    "Crypto": "pycryptodome",
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def own_frames(trace):
    """A traceback from the first frame on that is not the machinery's.

    Args:
        trace: A traceback or None.

    Returns:
        The same, shorter; the whole where nothing else is in it.
    """
    first = trace
    while first is not None:
        file = first.tb_frame.f_code.co_filename
        machinery = (own_frames.__code__.co_filename, importlib.__file__)
        if file not in machinery and not file.startswith("<frozen "):
            return first
        first = first.tb_next
    return trace


def import_trouble(error, trace, directory):
    """Where in the plugin an import failed, and what helps.

    Args:
        error: What was raised.
        trace: Its traceback or None.
        directory: The plugin's directory.

    Returns:
        A sentence, or None where Python's own says it.
    """
    place = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith(directory + os.sep):
            place = f"{os.path.relpath(code.co_filename, directory)}, line {trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and str(error.filename).startswith(directory + os.sep):
        place = f"{os.path.relpath(error.filename, directory)}, line {error.lineno}"
    if place is None:
        return None
    name = getattr(error, "name", None)
    if not isinstance(error, ModuleNotFoundError) or type(name) is not str:
        return f"at {place}"
    top = name.partition(".")[0]
    own = os.path.join(directory, top)
    if os.path.isfile(own + ".py") or os.path.isdir(own):
        return f"at {place}; {top} is the plugin's own: write `from .{top} import …`"
    try:
        from mozaiks._original import is_explained
    except ImportError:
        known = False
    else:
        known = is_explained(name)
    if known or top in sys.stdlib_module_names or top in sys.modules:
        return f"at {place}"
    return f"at {place}; `{interpreter()} -m pip install {INSTALLED_AS.get(top, top)}` installs it"


def interpreter():
    """The interpreter whose packages plugins see, as one types it."""
    for folder in sys.path:
        if os.path.basename(folder) == "site-packages":
            found = os.path.join(os.path.dirname(folder), "..", "..", "bin", "python")
            if os.path.exists(found):
                return os.path.normpath(found)
    return "python3"


class Kept:
    """Where the bytecode of one load's modules is kept, and how many came from there."""

    def __init__(self, folder):
        self.folder = folder
        self.cached = self.compiled = 0


# By package. Changed at load and unload.
KEPT = {}
PLUGIN_PACKAGES = "mozaiks_plugin_"


class PluginLoader(importlib.machinery.SourceFileLoader):
    """Takes a plugin's module from kept bytecode, else from its source; writes nothing."""

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        source = self.get_data(path)
        kept = KEPT.get(fullname.partition(".")[0])
        if kept is None:
            return self.source_to_code(source, path)
        if kept.folder is not None:
            code = read_code(kept.folder, key_of(path, source))
            if code is not None:
                kept.cached += 1
                return code
        code = self.source_to_code(source, path)
        kept.compiled += 1
        return code


class PluginFinder:
    """Finds modules of plugins as ever, and has them loaded by `PluginLoader`."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if not name.startswith(PLUGIN_PACKAGES):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = PluginLoader(spec.loader.name, spec.loader.path)
        return spec


def load_plugin(package, directory, entry, parts, folder=None):
    """Imports a plugin as the package ``package``.

    Args:
        package: A name that no other load has.
        directory: The plugin's directory.
        entry: The file with ``execute`` or the lifecycle functions, below the directory; None where
            the plugin is made of parts alone.
        parts: Whether files of it are parts of it, and those that are imported with it.
        folder: Where bytecode of its modules is kept; None where none is.

    Returns:
        What answers calls or None, whether it is async, the module's docstring's first line, what runs
        the steps of its life or None, the names of its lifecycle functions, whether it has ``execute``
        of its own, its actions: of each the name, a description and two JSON Schemas; and how many modules
        came from kept bytecode and how many did not.

    Raises:
        LookupError: There is neither a callable ``execute`` or ``run`` nor anything else to run.
    """
    try:
        # Tells of imports that the SDK does not offer, also where the plugin begins with one.
        importlib.import_module("mozaiks")
    except ImportError:
        pass
    has_parts, files = parts
    modules = []
    if files:
        from mozaiks import _declare

        modules = _declare.begin(package, files)
    if PluginFinder not in sys.meta_path:
        sys.meta_path.insert(0, PluginFinder)
    kept = KEPT[package] = Kept(folder)
    init = os.path.join(directory, "__init__.py")
    if os.path.isfile(init):
        spec = importlib.util.spec_from_file_location(
            package,
            init,
            loader=PluginLoader(package, init),
            submodule_search_locations=[directory],
        )
        root = importlib.util.module_from_spec(spec)
        sys.modules[package] = root
        spec.loader.exec_module(root)
    else:
        root = types.ModuleType(package)
        root.__path__ = [directory]
        root.__package__ = package
        sys.modules[package] = root
        logging.getLogger("mozaiks_plugins." + os.path.basename(directory)).warning(
            "there is no __init__.py: put an empty one into the plugin's folder, without which other "
            "tools do not take it for a package"
        )
    if entry is None:
        module = root
    else:
        relative = os.path.splitext(os.path.relpath(entry, directory))[0]
        module = importlib.import_module(package + "." + relative.replace(os.sep, "."))
    for part in modules:
        importlib.import_module(part)
    function = getattr(module, "execute", None)
    if function is None:
        function = getattr(module, "run", None)
    file = os.path.relpath(entry, directory) if entry is not None else "__init__.py"
    if function is not None and not callable(function):
        raise LookupError(f"execute in {file} is not callable")
    has_execute, actions = function is not None, []
    if "__mozaiks_actions__" in vars(root):
        from mozaiks.actions._declare import finish

        function, actions = finish(root, function)
    life = None
    if has_parts or LIFECYCLE.intersection(vars(module)):
        from mozaiks.plugin._life import Life

        life = Life(package, module, function)
    names = sorted(life.functions) if life is not None else []
    if function is None and not names and not has_parts:
        raise LookupError(f"{file} defines neither execute(data) nor run(data), and no @action")
    doc = (module.__doc__ or root.__doc__ or "").strip().split("\n", 1)[0].strip()
    life_step = life.run if names or has_parts else None
    is_on_loop = function is not None and is_async(function)
    counts = (kept.cached, kept.compiled)
    return function, is_on_loop, doc or None, life_step, names, has_execute, actions, counts


def forget_package(package):
    """Drops a package and everything below it from ``sys.modules``."""
    KEPT.pop(package, None)
    declared = sys.modules.get("mozaiks._declare")
    if declared is not None:
        declared.forget(package)
    below = package + "."
    # A copy, as imports on other threads change it meanwhile; a plugin may have put in any key.
    for name in list(sys.modules):
        if type(name) is str and (name == package or name.startswith(below)):
            sys.modules.pop(name, None)


def stack_of(thread):
    """What a thread runs, innermost first: module, file, line and function of each frame."""
    frame = sys._current_frames().get(thread)
    frames = []
    while frame is not None and len(frames) < 200:
        code, module = frame.f_code, frame.f_globals.get("__name__")
        module = module if isinstance(module, str) else ""
        frames.append((module, code.co_filename, frame.f_lineno or 0, code.co_name))
        frame = frame.f_back
    return frames


def fields_of(record):
    """What ``ctx.logger`` was given beside a message, as JSON."""
    fields = getattr(record, "fields", None)
    if not isinstance(fields, dict) or not fields:
        return None
    try:
        return json.dumps(fields, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps({str(name): repr(value) for name, value in fields.items()})


class GatewayHandler(logging.Handler):
    """Hands Python's log records to the gateway's own log.

    It has no lock: the gateway's log takes lines from many threads at once, and a lock held while
    one of them waits for the log would keep all others from logging.
    """

    def createLock(self):
        self.lock = None

    def acquire(self):
        pass

    def release(self):
        pass

    def handle(self, record):
        kept = self.filter(record)
        if kept:
            # From 3.12 on a filter may give another record.
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    def emit(self, record):
        try:
            message = record.getMessage()
            if record.exc_info:
                message += "\n" + self._formatter.formatException(record.exc_info)
            log_record(record.levelno, record.name, message, fields_of(record))
        except Exception as error:
            log_record(logging.ERROR, "logging", f"a log record could not be formatted: {error!r}")

    _formatter = logging.Formatter()


class LineWriter:
    """``sys.stdout`` and ``sys.stderr``: whole lines go to the gateway's log."""

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    closed = False

    def __init__(self, name):
        self.name = name

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        log_text(self.name, text)
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        log_flush(self.name)

    def isatty(self):
        return False

    def readable(self):
        return False

    def writable(self):
        return True

    def seekable(self):
        return False

    def close(self):
        self.flush()


def install_logging():
    """Makes the gateway's log the only place where Python code logs and prints."""
    root = logging.getLogger()
    root.handlers[:] = [GatewayHandler()]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.stdout = LineWriter("stdout")
    sys.stderr = LineWriter("stderr")


class GatewayLoop(asyncio.SelectorEventLoop):
    """An event loop whose own threads are shared out among the plugins.

    ``asyncio`` has one executor for a loop, and a function that does not return keeps its thread:
    a few calls of one plugin would take it from all others, and with it their host names.
    """

    def __init__(self, put_aside):
        super().__init__()
        self._put_aside = put_aside

    def run_in_executor(self, executor, func, *args):
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        return self._put_aside(self, False, func, *args)

    def set_default_executor(self, executor):
        """Leaves the shared loop's threads as they are.

        Args:
            executor: A plugin's own; it may be given to ``run_in_executor``.
        """
        logging.getLogger("asyncio").warning(
            "set_default_executor() has no effect here: give the executor to run_in_executor()"
        )

    async def getaddrinfo(self, host, port, *, family=0, type=0, proto=0, flags=0):
        look_up = functools.partial(socket.getaddrinfo, host, port, family, type, proto, flags)
        return await self._put_aside(self, True, look_up)

    async def getnameinfo(self, sockaddr, flags=0):
        return await self._put_aside(self, True, socket.getnameinfo, sockaddr, flags)


def new_loop(put_aside):
    """The event loop of a loop thread.

    Args:
        put_aside: Gives a function to another thread: called with the loop, whether it looks up a
            host's name, the function and its arguments, it gives a future of the loop.
    """
    loop = GatewayLoop(put_aside)
    asyncio.set_event_loop(loop)
    return loop
