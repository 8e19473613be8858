"""The rig itself: what other tests lean on must hold."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import eventlet
import kombu
import psycopg2
import pytest
import sqlalchemy

from tests.rig import Broker, Proxy, RabbitMQ, Server, wait_until
from tests.rig.proxy import Mode


@pytest.fixture
def echo_port() -> Iterator[int]:
    """Serve something that sends back what it gets."""
    server = eventlet.listen(("127.0.0.1", 0))

    def serve(client: socket.socket, _: object) -> None:
        while data := client.recv(1024):
            client.sendall(data)

    listening = eventlet.spawn(eventlet.serve, server, serve)
    yield int(server.getsockname()[1])
    listening.kill()
    server.close()


def ask(client: socket.socket) -> bytes:
    """Send four bytes and return the answer, empty when there is none in time."""
    client.settimeout(0.3)
    try:
        client.sendall(b"ping")
        return client.recv(1024)
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("mode", "old_answers", "new_answers"),
    [
        (Mode.PASS, True, True),
        (Mode.HANG, False, False),
        (Mode.HANG_OLD, False, True),
        (Mode.DROP_REQUESTS, False, False),
        (Mode.DROP_REPLIES, False, False),
        (Mode.REFUSE, True, False),
    ],
)
def test_proxy_mode_decides_who_gets_an_answer(
    echo_port: int, mode: Mode, old_answers: bool, new_answers: bool
) -> None:
    with Proxy(echo_port) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as old:
        assert ask(old) == b"ping"
        proxy.set(mode)
        assert bool(ask(old)) is old_answers
        with socket.create_connection(("127.0.0.1", proxy.port)) as new:
            assert bool(ask(new)) is new_answers


def test_proxy_cut_closes_connections_and_takes_new_ones(echo_port: int) -> None:
    with Proxy(echo_port) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as old:
        assert ask(old) == b"ping"
        proxy.cut()
        assert ask(old) == b""
        with socket.create_connection(("127.0.0.1", proxy.port)) as new:
            assert ask(new) == b"ping"


def test_vhost_takes_and_gives_a_message(vhost: str) -> None:
    with kombu.Connection(vhost) as connection, connection.SimpleQueue("some-queue") as queue:
        queue.put({"number": 1})
        message = queue.get(timeout=5)
        message.ack()
        assert message.payload == {"number": 1}


def test_database_is_empty_and_writable(database_uri: str) -> None:
    engine = sqlalchemy.create_engine(database_uri)
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.execute(sqlalchemy.text("CREATE TABLE things (id INTEGER)"))
    engine.dispose()


def test_server_keeps_its_word_about_durability(postgresql: Server) -> None:
    with postgresql.session() as cursor:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            cursor.execute(f"SHOW {setting}")
            assert cursor.fetchone() == ("on",), setting


def test_service_login_writes_rows_but_no_tables_and_enters_no_other_database(postgresql: Server) -> None:
    for service in ("rig_one", "rig_two"):
        postgresql.create_service(service)
        postgresql.create_service(service)  # a second start finds it there
    owner = sqlalchemy.create_engine(postgresql.migration_uri().format(service="rig_one"))
    with owner.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE things (id INTEGER)"))
    owner.dispose()
    uri = postgresql.service_uri().format(service="rig_one")
    login = sqlalchemy.create_engine(uri)
    with login.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO things VALUES (1)"))
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match="permission denied"), login.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE others (id INTEGER)"))
    login.dispose()
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(uri.replace("+psycopg2", "").removesuffix("rig_one") + "rig_two")
    for service in ("rig_one", "rig_two"):
        postgresql.drop_database(service)


def test_broker_keeps_durable_messages_over_a_kill(tmp_path: Path) -> None:
    node = RabbitMQ(tmp_path / "node", throw_away=True).start()
    try:
        confirmed = {"confirm_publish": True}  # without it the node may die before it has written the message
        with kombu.Connection(node.uri(), transport_options=confirmed) as connection:
            queue = connection.SimpleQueue("kept")
            queue.put("still here")
            queue.close()
        node.kill()
        node.start()
        with kombu.Connection(node.uri()) as connection, connection.SimpleQueue("kept") as queue:
            assert queue.get(timeout=10).payload == "still here"
    finally:
        node.close()


def listening_addresses(pid: int) -> set[str]:
    """Return the local addresses that a process listens on, as the kernel writes them (hexadecimal)."""
    sockets = {entry.readlink().name for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
    rows = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def test_nodes_listen_on_loopback_alone(tmp_path: Path) -> None:
    """`make fleet` runs these nodes too: what joins nodes to clusters obeys whoever has the cookie."""
    node = RabbitMQ(tmp_path / "node", throw_away=True).start()
    try:
        addresses = listening_addresses(node.pid)
    finally:
        node.close()
    assert len(addresses) == 3  # AMQP, management, distribution
    assert {address.partition(":")[0] for address in addresses} == {"0100007F"}


def test_nodes_end_when_their_owner_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from deploy.bare.postgresql import PostgreSQL; "
        f"node = PostgreSQL(Path({str(tmp_path / 'cluster')!r})).start(); print(node.pid, flush=True); time.sleep(60)"
    )
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:3]:
        if parent.name.startswith("pytest"):
            parent.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10, what="the cluster ends after its owner")


def test_broker_address_without_port_is_refused_with_the_remedy() -> None:
    with pytest.raises(RuntimeError, match="like amqp://"):
        Broker("amqp://localhost")
