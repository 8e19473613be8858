"""Prepare every test run: green sockets first, then the rig's fixtures.

The services run on eventlet, so their tests do too: the patch must come before anything imports sockets or threads.
"""

import os
import warnings

# eventlet announces its own deprecation when it is imported; the one warning that pyproject.toml lets pass, which is
# not yet in force while this file loads.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet

eventlet.monkey_patch()

import hypothesis

from services.chassis.service import declare
from tests.rig.scratch import scratch

# What a procedure raises, emits or answers without having declared it fails the test that provokes it.
declare.be_strict()

# Examples share two cores with a broker and a database: a slow draw says nothing about the code under test.
hypothesis.settings.register_profile(
    "house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("house")

# pytest's tmp_path goes where the servers' folders go.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(scratch()))

pytest_plugins = ["tests.rig.fixtures", "tests.openapi.watch"]
