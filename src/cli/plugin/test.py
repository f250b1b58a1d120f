"""Runs the tests of one plugin with pytest; used by `mozaiks plugin test`.

Arguments: the plugin's directory, how many directories of the SDK follow, these, then pytest's own.
"""

import importlib.util
import sys
from importlib import metadata

plugin, count = sys.argv[1], int(sys.argv[2])
sdk, more = sys.argv[3 : 3 + count], sys.argv[3 + count :]
sys.path[:0] = sdk

# Looked for and not imported: pytest itself imports its plugins.
missing = [name for name in ("pytest", "pytest_asyncio") if importlib.util.find_spec(name) is None]
if missing:
    wanted = f"{sys.executable} -m pip install pytest pytest-asyncio"
    print(f"{' and '.join(missing)} cannot be imported: {wanted}", file=sys.stderr)
    sys.exit(4)
import pytest  # noqa: E402

options = ["--rootdir", plugin, "--import-mode", "importlib", "-p", "no:cacheprovider"]
options += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
found = metadata.entry_points(group="pytest11")
if all(entry.value != "mozaiks.testing.plugin" for entry in found):
    # The SDK lies beside the gateway and is not installed.
    options += ["-p", "mozaiks.testing.plugin"]
sys.exit(pytest.main([*options, f"{plugin}/tests", *more]))
