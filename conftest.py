"""Prepare every test run: green sockets first, then the rig's fixtures.

The services run on eventlet, so their tests do too: the patch must come before anything imports sockets or threads.
"""

import warnings

# eventlet announces its own deprecation when it is imported; the one warning that pyproject.toml lets pass, which is
# not yet in force while this file loads.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet

eventlet.monkey_patch()

pytest_plugins = ["tests.rig.fixtures"]
