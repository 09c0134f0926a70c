# SPDX-License-Identifier: Apache-2.0
"""What a guest's application sees of TCP, beside what it would see on the host itself: the same probes run in both, and
the answers must be the same."""

import errno
import select
import socket
import struct

from bed import traffic, wait, world
from bed.cases import MAIN, STREAM, case

IPPROTO_MPTCP = 262
TCP_USER_TIMEOUT = 18
DSCP_EF = 46 << 2
DSCP_CS1 = 8 << 2


def outcome(function, *args):
    """What a call returns, or the name of its error."""
    try:
        return function(*args)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def readable(sock):
    assert select.select([sock], [], [], 5 * wait.slowness)[0], "nothing came"
    return sock


def connected(t, client):
    return t.keep(*traffic.pair(client, t.world, world.ADDRESS))


def connect(client, address, port=80, patience_ms=0):
    with client.socket() as sock:
        if patience_ms:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, patience_ms)
        sock.settimeout(10 * wait.slowness)
        return outcome(sock.connect, (address, port))


# ---- Probes: each returns what was seen ----


def connects(t, client):
    return {"nobody listens": connect(client, world.ADDRESS, 9),
            "no such host": connect(client, world.UNREACHABLE),
            "prohibited": connect(client, world.PROHIBITED),
            "no answer": connect(client, world.BLACK_HOLE, patience_ms=500)}


def half_closed_by_client(t, client):
    near, far = connected(t, client)
    near.sendall(b"question")
    near.shutdown(socket.SHUT_WR)
    asked = traffic.read_to_end(far)
    far.sendall(b"answer")
    far.close()
    return asked, traffic.read_to_end(near)


def half_closed_by_server(t, client):
    near, far = connected(t, client)
    far.sendall(b"banner")
    far.shutdown(socket.SHUT_WR)
    seen = traffic.read_to_end(near)
    near.sendall(b"more")
    near.close()
    return seen, traffic.read_to_end(far)


def reset_by_server(t, client):
    near, far = connected(t, client)
    far.sendall(b"last words")
    seen = traffic.read_exactly(near, 10)
    traffic.reset(far)
    return seen, outcome(readable(near).recv, 1), outcome(near.recv, 1), outcome(near.send, b"x")


def reset_by_client(t, client):
    near, far = connected(t, client)
    near.sendall(b"last words")
    seen = traffic.read_exactly(far, 10)
    traffic.reset(near)
    return seen, outcome(readable(far).recv, 1), outcome(far.recv, 1)


def closed_with_unread_bytes(t, client):
    """A process that is killed, too."""
    near, far = connected(t, client)
    far.sendall(b"unread")
    readable(near)
    near.close()
    return outcome(readable(far).recv, 1)


def server_closed_with_unread_bytes(t, client):
    near, far = connected(t, client)
    near.sendall(b"unread")
    readable(far)
    far.close()
    return outcome(readable(near).recv, 1)


def written_to_closed(t, client):
    """The server is gone: the first write goes, and brings the reset."""
    near, far = connected(t, client)
    far.close()
    seen = [outcome(readable(near).recv, 1), outcome(near.send, b"x")]
    wait.until(lambda: near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the reset")
    return seen, outcome(near.send, b"x")


def addresses(t, client):
    near, far = connected(t, client)
    return near.getpeername() == far.getsockname()


def other_kinds(t, client):
    """What asks for more than TCP, and falls back to it."""
    with t.world.listen() as listener:
        where = world.ADDRESS, listener.getsockname()[1]
        with client:
            mptcp = t.keep(socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP))
            fast = t.keep(socket.socket())
        seen = []
        for sock in (mptcp, fast):
            sock.settimeout(None)
            if sock is fast:
                sock.sendto(b"early", socket.MSG_FASTOPEN, where)
            else:
                sock.connect(where)
                sock.sendall(b"early")
            far = t.keep(traffic.accept(listener))
            seen.append(traffic.read_exactly(far, 5))
        return seen


PROBES = [connects, half_closed_by_client, half_closed_by_server, reset_by_server, reset_by_client,
          closed_with_unread_bytes, server_closed_with_unread_bytes, written_to_closed, addresses, other_kinds]


@case(links=STREAM)
def test_as_on_the_host(t):
    for probe in PROBES:
        native = probe(t, t.host)
        seen = probe(t, t.guest.ns)
        assert seen == native, f"{probe.__name__}: {seen} in the guest, {native} on the host"


# ---- Marks ----


class Sniffer:
    """The service classes of TCP segments that come to a port of the world."""

    def __init__(self, namespace, port, family=socket.AF_INET):
        self.port = port
        self.v6 = family == socket.AF_INET6
        with namespace:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86dd if self.v6 else 0x0800))

    def seen(self):
        """[(whether it is a SYN, DSCP << 2, payload bytes)] since the last call."""
        found = []
        while select.select([self.sock], [], [], 0)[0]:
            packet = self.sock.recv(65536)
            at = 40 if self.v6 else (packet[0] & 0x0f) * 4
            protocol = packet[6] if self.v6 else packet[9]
            if protocol != socket.IPPROTO_TCP or struct.unpack_from("!H", packet, at + 2)[0] != self.port:
                continue
            tos = (packet[0] << 4 | packet[1] >> 4) & 0xff if self.v6 else packet[1]
            total = 40 + struct.unpack_from("!H", packet, 4)[0] if self.v6 else struct.unpack_from("!H", packet, 2)[0]
            found.append((bool(packet[at + 13] & 2), tos & 0xfc, total - at - (packet[at + 12] >> 4) * 4))
        return found

    def await_data(self):
        """The classes of the segments with data that come next."""
        found = []

        def came():
            found.extend(tos for _, tos, size in self.seen() if size > 0)
            return found
        wait.until(came, "data")
        return set(found)


@case(links=MAIN)
def test_service_class(t):
    """DSCP of the guest's is the host's, from the SYN on, and when it changes, as ssh's does."""
    for family, address, option in ((socket.AF_INET, world.ADDRESS, (socket.IPPROTO_IP, socket.IP_TOS)),
                                    (socket.AF_INET6, world.ADDRESS6, (socket.IPPROTO_IPV6, socket.IPV6_TCLASS))):
        if family == socket.AF_INET6:
            t.guest.configure6()
        with t.world.listen("::" if family == socket.AF_INET6 else "0.0.0.0") as listener:
            port = listener.getsockname()[1]
            sniffer = Sniffer(t.world, port, family)
            t.keep(sniffer.sock)
            sock = t.keep(t.guest.ns.socket(family=family))
            sock.setsockopt(*option, DSCP_EF)
            sock.connect((address, port))
            far = t.keep(traffic.accept(listener))
            sock.sendall(b"x")
            far.recv(1)
            segments = sniffer.seen()
            assert segments[0][:2] == (True, DSCP_EF), segments
            assert {tos for _, tos, _ in segments} == {DSCP_EF}, segments
            sock.setsockopt(*option, DSCP_CS1)
            sock.sendall(b"y")
            far.recv(1)
            assert sniffer.await_data() == {DSCP_CS1}
