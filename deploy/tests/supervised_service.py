"""Runs the source service as a process of its own, for the tests of the supervisor and of SIGTERM."""

import services.chassis.bus.green  # isort: skip

import sys

from services.chassis.service.runner import serve
from services.chassis.settings import Settings
from services.chassis.tests.messaging_world import SourceService

assert services.chassis.bus.green

if __name__ == "__main__":
    sys.exit(serve(Settings.from_environment(), [SourceService]))
