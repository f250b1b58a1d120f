"""Looks at source of stored plugins: syntax, imports, names. Runs nothing of it.

Run by a process of its own, which ends with its answer (see `source_check.rs`).
"""

import ast
import builtins
import json
import posixpath
import resource
import symtable
import sys
import warnings

CPU_SECONDS = 10
MEMORY_BYTES = 1 << 30
MAX_PROBLEMS = 100

OWN = {"bson", "core", "mozaiks", "mozaiks_infra", "mozaiks_platform", "sdk"}
"""What the gateway gives to plugins."""

STANDARD = {
    "__future__", "abc", "array", "asyncio", "base64", "binascii", "bisect", "calendar", "cmath",
    "codecs", "collections", "colorsys", "contextlib", "contextvars", "copy", "csv",
    "dataclasses", "datetime", "decimal", "difflib", "email", "enum", "fractions", "functools",
    "graphlib", "hashlib", "heapq", "hmac", "html", "inspect", "io", "ipaddress", "itertools",
    "json", "keyword", "logging", "math", "numbers", "operator", "pprint", "random", "re",
    "reprlib", "secrets", "statistics", "string", "struct", "textwrap", "time", "traceback",
    "types", "typing", "unicodedata", "urllib.parse", "uuid", "warnings", "weakref", "zlib",
    "zoneinfo",
}  # fmt: skip
"""Modules of the standard library that compute and reach nothing outside."""

MODULE_NAMES = {
    "__annotations__", "__builtins__", "__cached__", "__debug__", "__doc__", "__file__",
    "__loader__", "__name__", "__package__", "__path__", "__spec__", "__class__", "__qualname__",
    "__module__",
}  # fmt: skip


def is_allowed(module, packages):
    """Whether a module may be imported by its absolute name.

    Args:
        module: Its dotted name.
        packages: Those that an admin has approved.

    Returns:
        Whether it may.
    """
    top = module.split(".")[0]
    known = STANDARD | OWN | packages
    return top in known or module in known


def module_is_there(path, level, module, files):
    """Whether a relative import names a module of the plugin.

    Args:
        path: The file that imports.
        level: The number of dots.
        module: What stands behind them, or `None`.
        files: All paths of the plugin.

    Returns:
        Whether it does.
    """
    folder = posixpath.dirname(path)
    for _ in range(level - 1):
        if not folder:
            return False
        folder = posixpath.dirname(folder)
    if not module:
        return True
    target = posixpath.join(folder, *module.split("."))
    return f"{target}.py" in files or any(other.startswith(f"{target}/") for other in files)


def imports(path, tree, files, packages):
    """The imports that cannot be, as line and sentence."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            if not module_is_there(path, node.level, node.module, files):
                dotted = "." * node.level + (node.module or "")
                yield node.lineno, f"the plugin has no module {dotted}"
            continue
        elif isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = whole if node.module == "urllib" else [node.module or ""]
        else:
            continue
        for name in names:
            if not is_allowed(name, packages):
                yield node.lineno, f"a stored plugin may not import {name}"


def scopes(table):
    """A scope and all within it."""
    waiting = [table]
    while waiting:
        scope = waiting.pop()
        yield scope
        waiting.extend(scope.get_children())


def names(source, path, tree):
    """The names that nothing defines, as line and sentence."""
    if any(
        isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
        for node in ast.walk(tree)
    ):
        return
    table = symtable.symtable(source, path, "exec")
    defined = set(dir(builtins)) | MODULE_NAMES
    for scope in scopes(table):
        for symbol in scope.get_symbols():
            here = scope is table or symbol.is_declared_global()
            if here and (symbol.is_assigned() or symbol.is_imported() or symbol.is_annotated()):
                defined.add(symbol.get_name())
    missing = {
        symbol.get_name()
        for scope in scopes(table)
        for symbol in scope.get_symbols()
        if symbol.is_referenced()
        and (scope is table or symbol.is_global())
        and symbol.get_name() not in defined
    }
    seen = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in missing and node.id not in seen:
            seen.add(node.id)
            yield node.lineno, f"{node.id} is not defined"


def look(path, source, files, packages):
    """What is wrong with one file, as line and sentence."""
    try:
        tree = ast.parse(source, path)
        compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return [(error.lineno, f"SyntaxError: {error.msg}")]
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return [(None, f"it cannot be compiled: {type(error).__name__}")]
    try:
        found = [*imports(path, tree, files, packages), *names(source, path, tree)]
    except RecursionError:
        return [(None, "it is nested too deeply")]
    return sorted(found)


def main():
    """Reads files from standard input and writes what is wrong with them to standard output."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    asked = json.load(sys.stdin)
    files, packages = asked["files"], set(asked["packages"])
    known = {*files, *asked["others"]}
    problems = [
        {"file": path, "line": line, "message": message[:500]}
        for path, source in sorted(files.items())
        for line, message in look(path, source, known, packages)
    ]
    json.dump(problems[:MAX_PROBLEMS], sys.stdout)
