"""Bytecode of plugins' modules, kept outside of their folders.

Read by whatever imports plugins, and written by a process that only compiles (see `bytecode.rs`): no
process that runs a plugin's code writes here, so none can leave behind what another would run. Each
plugin has a folder of its own, and a confined worker can open its plugin's alone, and not write it. A
file is known by all that its bytecode depends on, so nothing is ever out of date; one whose digest is
not its content's is ignored, as if it were not there.
"""

import hashlib
import importlib.util
import json
import marshal
import os
import sys
import types

ENDING = ".code"
DIGEST_BYTES = 32
MAX_SOURCE_BYTES = 1 << 20
MAX_CODE_BYTES = 8 << 20


def key_of(path, source):
    """The name under which the bytecode of a source is kept.

    Args:
        path: Where the source is: tracebacks say so.
        source: Its bytes.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    tag = f"{sys.implementation.cache_tag}-{sys.flags.optimize}".encode()
    for part in (importlib.util.MAGIC_NUMBER, tag, os.fsencode(path)):
        digest.update(len(part).to_bytes(8, "little") + part)
    digest.update(source)
    return digest.hexdigest()


def read_code(folder, key):
    """The bytecode that is kept under a key.

    Args:
        folder: The plugin's folder.
        key: As `key_of` gives it.

    Returns:
        The code, or None where there is none, or a broken one.
    """
    try:
        with open(os.path.join(folder, key + ENDING), "rb") as file:
            data = file.read(MAX_CODE_BYTES + 1)
        body = data[DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != data[:DIGEST_BYTES]:
            return None
        code = marshal.loads(body)
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return code if isinstance(code, types.CodeType) else None


def write_code(folder, key, code):
    """Keeps bytecode: the whole of it, or nothing.

    Args:
        folder: The plugin's folder.
        key: As `key_of` gives it.
        code: What was compiled.
    """
    body = marshal.dumps(code)
    if len(body) + DIGEST_BYTES > MAX_CODE_BYTES:
        return
    name = os.path.join(folder, key + ENDING)
    temporary = f"{name}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
        file.write(hashlib.sha256(body).digest() + body)
    os.replace(temporary, name)


def fill(directory, folder, files):
    """Compiles what is not kept yet. Nothing of it runs.

    Args:
        directory: The plugin's directory.
        folder: Its folder here.
        files: Its modules, below the directory.
    """
    for relative in files:
        path = os.path.join(directory, relative)
        try:
            with open(path, "rb") as file:
                source = file.read(MAX_SOURCE_BYTES + 1)
            if len(source) > MAX_SOURCE_BYTES:
                continue
            key = key_of(path, source)
            if read_code(folder, key) is None:
                code = compile(source, path, "exec", dont_inherit=True)
                write_code(folder, key, code)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            # Whoever imports it is told what is wrong with it.
            continue


def prune(root, most):
    """Takes out the oldest until the rest has room.

    Args:
        root: Where all plugins' folders are.
        most: Bytes.
    """
    kept = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            try:
                found = os.lstat(path)
            except OSError:
                continue
            kept.append((found.st_mtime_ns, found.st_size, path))
    total = sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if total <= most:
            break
        try:
            os.unlink(path)
        except OSError:
            continue
        total -= size


def main():
    """Does what standard input asks for: a line a plugin, and one with the bound before them."""
    import resource

    # What a source makes of the compiler is the end of this process and of nothing else.
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lines = sys.stdin.buffer.read().splitlines()
    bound = json.loads(lines[0])
    for line in lines[1:]:
        wanted = json.loads(line)
        fill(wanted["directory"], wanted["folder"], wanted["files"])
    prune(bound["root"], bound["bytes"])
