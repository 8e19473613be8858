"""Our reader and writer of frames against py-amqp's own: the same frames in whatever pieces (decision 24)."""

from __future__ import annotations

import struct
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import amqp.transport
import eventlet
import pytest
from eventlet.green import socket
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.bus.link import BrokerDown, Link

Frame = tuple[int, int, bytes]
END = b"\xce"
frames = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 8]), st.integers(0, 65_535), st.binary(max_size=300)), min_size=1, max_size=12
)


def bytes_of(frame: Frame) -> bytes:
    kind, channel, payload = frame
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


class Pieces:
    """A socket from which one piece at a time is read, and nothing after the last."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = list(pieces)

    def recv(self, _most: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def ours(pieces: list[bytes], kept: bytes = b"") -> list[Frame]:
    """Return the frames that our reader hands over until the stream ends."""
    found: list[Frame] = []
    transport = SimpleNamespace(sock=Pieces(pieces), _read_buffer=kept)
    with pytest.raises(BrokerDown, match="closed the connection"):
        Link._read_frames(Link.__new__(Link), SimpleNamespace(transport=transport, on_inbound_frame=found.append))
    return found


def theirs(stream: bytes) -> list[Frame]:
    """Return the frames that py-amqp reads from the same stream."""
    transport: Any = amqp.transport.TCPTransport("localhost:1")
    left, right = socket.socketpair()
    with left, right:
        left.sendall(stream)
        left.shutdown(socket.SHUT_WR)
        transport.sock = right
        transport._quick_recv = right.recv
        transport._read_buffer = b""
        found: list[Frame] = []
        while sum(map(len, map(bytes_of, found))) < len(stream):
            kind, channel, payload = transport.read_frame()
            found.append((kind, channel, bytes(payload)))
        # A second end of a transport that has no connection any more is none of ours.
        transport.sock = None
    return found


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [piece for a, b in pairwise(marks) if (piece := stream[a:b])]


@settings(max_examples=200, deadline=None)
@given(said=frames, places=st.lists(st.integers(0, 5000), max_size=20), kept=st.integers(0, 40))
def test_frames_are_those_of_py_amqp_in_whatever_pieces_they_come(
    said: list[Frame], places: list[int], kept: int
) -> None:
    stream = b"".join(map(bytes_of, said))
    assert theirs(stream) == said
    # What py-amqp had read already when our reader took over is not lost.
    assert ours(cut(stream[kept:], places), stream[:kept]) == said


@settings(max_examples=50, deadline=None)
@given(said=frames, wrong=st.integers(0, 255).filter(lambda byte: byte != END[0]))
def test_a_frame_that_does_not_end_as_one_ends_the_connection(said: list[Frame], wrong: int) -> None:
    stream = b"".join(map(bytes_of, said))[:-1] + bytes([wrong])
    found: list[Frame] = []
    connection = SimpleNamespace(
        transport=SimpleNamespace(sock=Pieces([stream]), _read_buffer=b""), on_inbound_frame=found.append
    )
    with pytest.raises(BrokerDown, match="not AMQP"):
        Link._read_frames(Link.__new__(Link), connection)
    assert found == said[:-1]


def test_what_is_written_in_one_turn_leaves_together_and_in_order() -> None:
    left, right = socket.socketpair()
    link = Link.__new__(Link)
    link.alive, link.is_amqp = True, True
    link._unwritten, link._unwritten_bytes, link._written, link._limit = [], 0, None, 3.0
    link._raw = SimpleNamespace(_transport=SimpleNamespace(sock=left))
    said: list[Frame] = [(1, number, b"x" * number * 100) for number in range(40)]
    with left, right:
        for frame in said:
            # py-amqp writes into a buffer of its own and uses it again for the next frame.
            buffer = bytearray(bytes_of(frame))
            link._buffer(memoryview(buffer))
            buffer[:] = bytes(len(buffer))
        link.wait_written(3.0)
        expected = b"".join(map(bytes_of, said))
        received = b""
        with eventlet.Timeout(5):
            while len(received) < len(expected):
                received += right.recv(65_536)
    assert received == expected
    assert theirs(received) == said
