"""Runs plugins in tests, without a gateway.

`run_plugin` calls a plugin as the gateway would: with the identity that the gateway injects, its
answer as a client gets it. `start_plugin` takes one through its life and gives what sends it
requests, messages and jobs. `TestGateway` stands behind the objects of `core` meanwhile and
remembers what the plugin did with them. Documents go to a real database: that of a URI, or of a
`docstore` process that is started for the test.

With pytest, the fixture `gateway` is a `TestGateway` for one test; it comes with the package.
"""

from mozaiks.testing._docstore import Docstore, find_docstore
from mozaiks.testing._gateway import TestGateway
from mozaiks.testing._live import LivePlugin, RouteAnswer, start_plugin
from mozaiks.testing._run import PluginCode, load_plugin, run_plugin

__all__ = [
    "Docstore",
    "LivePlugin",
    "PluginCode",
    "RouteAnswer",
    "TestGateway",
    "find_docstore",
    "load_plugin",
    "run_plugin",
    "start_plugin",
]
