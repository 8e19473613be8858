"""The tests' rig: private RabbitMQ and PostgreSQL nodes, throw-away virtual hosts and databases, a TCP proxy, waiting.

Fixtures live in `tests.rig.fixtures` and are loaded by the root `conftest.py`. `python -m tests.rig` starts both nodes
once and prints the two variables with which test runs use them instead of starting their own.
"""

from deploy.bare.postgresql import PostgreSQL, Server
from deploy.bare.processes import NodeError, free_port
from deploy.bare.rabbitmq import Broker, RabbitMQ
from tests.rig.proxy import Proxy
from tests.rig.waiting import wait_until

__all__ = ["Broker", "NodeError", "PostgreSQL", "Proxy", "RabbitMQ", "Server", "free_port", "wait_until"]
