"""Checks the code of a plugin without running any of it.

Usage: python -I -c CODE entry directory [sdk …]. Prints a line for each thing that is wrong:
``FAIL`` or ``warn``, a tab, a sentence.
"""

import ast
import importlib.machinery
import os
import sys

SKIPPED = {"__pycache__", "static", "node_modules", "tests"}
MAX_FILES, MAX_BYTES = 2000, 2 << 20


# A module with one of these needs no `execute`.
LIFECYCLE = set(
    "on_load onLoad initialize Initialize register_routes registerRoutes RegisterRoutes on_enable "
    "onEnable on_disable onDisable on_unload onUnload cleanup Cleanup plugin new_plugin "
    "NewPlugin".split()
)


def say(kind, path, line, sentence):
    shown = os.path.relpath(path, directory)
    print(kind, f"{shown}:{line}: {sentence}" if line else f"{shown}: {sentence}", sep="\t")


def files():
    """Every source file of the plugin."""
    found = []
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED and not name.startswith(".")
        )
        found += [os.path.join(folder, name) for name in sorted(names) if name.endswith(".py")]
    return found


def parse(path):
    """The file's tree, or None where the interpreter would not take it."""
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            return say("FAIL", path, 0, f"larger than {MAX_BYTES} bytes")
        tree = ast.parse(text, path)
        # What only the compiler refuses, such as a `return` outside of a function.
        compile(text, path, "exec", dont_inherit=True)
        return tree
    except SyntaxError as error:
        return say("FAIL", path, error.lineno or 0, f"{type(error).__name__}: {error.msg}")
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return say("FAIL", path, 0, f"{type(error).__name__}: {error}")


def certain(body):
    """The statements that run whenever the module is imported and that nothing catches."""
    for statement in body:
        yield statement
        if isinstance(statement, (ast.With, ast.ClassDef)):
            yield from certain(statement.body)
        elif isinstance(statement, ast.Try) and not statement.handlers:
            yield from certain(statement.body)


def bound(body):
    """The names that a module may have, and whether a `*` hides more."""
    names, stars = set(), False
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(statement.name)
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                names.add(node.name)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    stars = stars or alias.name == "*"
                    names.add(alias.asname or alias.name.split(".")[0])
    return names, stars


def is_module(folder, name):
    """Whether a folder holds a module or a package of that name."""
    return os.path.isdir(os.path.join(folder, name)) or any(
        os.path.isfile(os.path.join(folder, name + ending))
        for ending in importlib.machinery.all_suffixes()
    )


def missing_of(name):
    """The part of a dotted name that is not there, found without importing anything."""
    if name.split(".")[0] in BUILT_IN:
        return None
    places, so_far = None, ""
    for part in name.split("."):
        so_far = f"{so_far}.{part}" if so_far else part
        try:
            spec = importlib.machinery.PathFinder.find_spec(so_far, places)
        except (ImportError, ValueError, AttributeError):
            return None
        if spec is None:
            return so_far
        # Not a package: what comes below it, if anything, it makes itself.
        if spec.submodule_search_locations is None:
            return None
        places = list(spec.submodule_search_locations)
    return None


def check_import(path, line, name, kind):
    missing = missing_of(name)
    if missing is not None:
        # A package may make its parts itself when it is imported.
        kind = "warn" if "." in missing else kind
        say(kind, path, line, f"no module named {missing!r} for {sys.executable}")


def relative(path, statement):
    """What a relative import loads: files, and the names that are not there."""
    folder = os.path.dirname(path)
    for _ in range(statement.level - 1):
        folder = os.path.dirname(folder)
    if os.path.commonpath([folder, directory]) != directory:
        return [], ["." * statement.level]
    shown = "." * statement.level
    loaded = [os.path.join(folder, "__init__.py")]
    for part in statement.module.split(".") if statement.module else []:
        shown += part if shown.endswith(".") else "." + part
        if not is_module(folder, part):
            return loaded, [shown]
        folder = os.path.join(folder, part)
        loaded += [folder + ".py", os.path.join(folder, "__init__.py")]
    if statement.module:
        return loaded, []
    # `from . import name`: a module beside this one, or something of the package's own.
    tree = trees.get(loaded[0])
    names, stars = bound(tree.body) if tree else (set(), False)
    missing = []
    for alias in statement.names:
        if is_module(folder, alias.name):
            loaded.append(os.path.join(folder, alias.name + ".py"))
        elif alias.name != "*" and alias.name not in names and not stars:
            missing.append(shown + alias.name)
    return loaded, missing


def check_imports(path, kind):
    """Looks at the imports of one file; gives the plugin's own files that it loads."""
    loaded = []
    for statement in certain(trees[path].body):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                check_import(path, statement.lineno, alias.name, kind)
        elif isinstance(statement, ast.ImportFrom) and statement.level:
            files, missing = relative(path, statement)
            loaded += files
            for name in missing:
                say(kind, path, statement.lineno, f"no module {name!r} in the plugin")
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            check_import(path, statement.lineno, statement.module, kind)
    return loaded


def has_actions():
    """Whether a function of the plugin's files is an action: then it needs no `execute`."""
    for tree in trees.values():
        for statement in tree.body:
            for decorator in getattr(statement, "decorator_list", []):
                called = getattr(decorator, "func", None)
                if "action" in (getattr(called, "id", None), getattr(called, "attr", None)):
                    return True
    return False


def check_entry():
    tree = trees.get(entry)
    if tree is None:
        return
    names, stars = bound(tree.body)
    if not stars and not names & ({"execute", "run", "__getattr__"} | LIFECYCLE) and not has_actions():
        say("FAIL", entry, 0, "defines neither execute(data) nor run(data), and no @action")
    for statement in tree.body:
        if (
            isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
            and statement.name == "execute"
            and not statement.decorator_list
        ):
            check_arguments(statement)


def check_arguments(function):
    """`execute` is called with one positional argument."""
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    needed = len(positional) - len(arguments.defaults)
    keywords = [
        name.arg
        for name, default in zip(arguments.kwonlyargs, arguments.kw_defaults)
        if default is None
    ]
    takes_one = (positional or arguments.vararg) and needed <= 1 and not keywords
    if not takes_one:
        say("FAIL", entry, function.lineno, "execute must take one argument: the call's data")


entry, directory, *sdk = (os.path.realpath(path) for path in sys.argv[1:])
sys.path += sdk
BUILT_IN = set(sys.builtin_module_names) | set(sys.stdlib_module_names) | {"_mozaiks_native"}
paths = files()
if len(paths) > MAX_FILES:
    say("FAIL", directory, 0, f"more than {MAX_FILES} Python files")
trees = {path: tree for path in paths[:MAX_FILES] if (tree := parse(path)) is not None}
check_entry()
# What the start loads must be there; what lies beside it may be for another day.
waiting, seen = [entry, os.path.join(directory, "__init__.py")], set()
while waiting:
    path = waiting.pop()
    if path in trees and path not in seen:
        seen.add(path)
        waiting += check_imports(path, "FAIL")
for path in trees:
    if path not in seen:
        check_imports(path, "warn")
