"""As much of MQTT 3.1.1 as a fast publisher needs: packets are made beforehand and written as they are."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

PUBLISH, PUBACK = 3, 4


class Wire:
    """One connection to a broker on this machine."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._received = bytearray()
        identifier = _text(name)
        self.write(_packet(0x10, _text("MQTT") + b"\x04\x02\x00\x00" + identifier))
        next(self.packets())

    def subscribe(self, topic: str) -> None:
        self.write(_packet(0x82, b"\x00\x01" + _text(topic) + b"\x01"))
        next(self.packets())

    def write(self, packet: bytes) -> None:
        self._socket.sendall(packet)

    def packets(self) -> Iterator[tuple[int, bytes]]:
        """Every packet that has come, as type and body; waits for the first one only.

        Raises:
            ConnectionError: the broker has closed the connection.
        """
        received = self._socket.recv(1 << 20)
        if not received:
            raise ConnectionError("the broker has closed the connection")
        self._received += received
        at = 0
        while (found := _split(self._received, at)) is not None:
            kind, begin, at = found
            yield kind, bytes(self._received[begin:at])
        del self._received[:at]

    def acknowledge(self, body: bytes) -> bytes:
        """Answer a PUBLISH of QoS 1 and return its payload."""
        topic_bytes = int.from_bytes(body[:2])
        self.write(b"\x40\x02" + body[2 + topic_bytes : 4 + topic_bytes])
        return body[4 + topic_bytes :]

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for packets
        self._socket.close()


def publication(topic: str, number: int, payload: bytes) -> bytes:
    """A PUBLISH of QoS 1."""
    return _packet(0x32, _text(topic) + struct.pack(">H", number % 65_535 + 1) + payload)


def _packet(kind: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, digit = divmod(left, 128)[0], left % 128
        length.append(digit | (128 if left else 0))
        if not left:
            return bytes([kind]) + bytes(length) + body


def _split(received: bytearray, at: int) -> tuple[int, int, int] | None:
    """Type, begin and end of the packet at an offset, if all of it is there."""
    length = shift = 0
    for index in range(at + 1, min(at + 5, len(received))):
        length |= (received[index] & 127) << shift
        shift += 7
        if received[index] < 128:
            end = index + 1 + length
            return (received[at] >> 4, index + 1, end) if end <= len(received) else None
    return None


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()
