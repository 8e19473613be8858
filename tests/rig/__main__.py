"""Start both nodes, print what a shell needs to use them, and stop them at Ctrl-C: `python -m tests.rig`."""

import shutil
import signal
import sys

from deploy.bare.postgresql import PostgreSQL
from deploy.bare.rabbitmq import RabbitMQ
from tests.rig.fixtures import node_folder
from tests.rig.scratch import scratch


def main() -> int:
    """Run until SIGINT or SIGTERM comes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folders = node_folder("rabbitmq", parent=scratch()), node_folder("postgresql", parent=scratch())
    broker, cluster = RabbitMQ(folders[0], throw_away=True), PostgreSQL(folders[1], throw_away=True)
    try:
        broker.start()
        cluster.start()
        sys.stdout.write(f"export TESSERA_RIG_AMQP={broker.uri()}\nexport TESSERA_RIG_POSTGRES={cluster.uri()}\n")
        sys.stdout.flush()
        signal.pause()
    except KeyboardInterrupt:
        sys.stderr.write("stopping the nodes\n")
    finally:
        broker.close()
        cluster.close()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
