# SPDX-License-Identifier: Apache-2.0
"""A guest that makes netproxy keep bytes: of connections that it opens and then neither reads nor completes."""

import contextlib
import select
import socket
import struct
import threading

from bed import traffic, wait, world
from bed.cases import MIB, case
from bed.proxy import GATEWAY
from test_hostile import ATTACKER_MAC, BROADCAST, Attacker, checksum

ADDRESS = "192.168.65.200"
WINDOW = 65535
SYN, ACK = 0x02, 0x10


class Stack:
    """Just enough of TCP to open connections, and to leave them as they are."""

    def __init__(self, t, port):
        self.attacker = Attacker(t)
        self.attacker.connect()
        self.far_port = port
        self.sock = self.attacker.sock
        self.input = bytearray()
        self.replies = b""  # to what was read
        self.gateway_mac = BROADCAST
        self.open = {}  # port: (what we say next, what we await)
        arp = struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + ATTACKER_MAC + socket.inet_aton(ADDRESS)
        self.frame(BROADCAST + ATTACKER_MAC + b"\x08\x06" + arp + bytes(6) + socket.inet_aton(GATEWAY))
        wait.until(lambda: not self.read() and self.gateway_mac != BROADCAST, "an answer to ARP")

    def frame(self, data):
        self.sock.sendall(struct.pack(">I", len(data)) + data)
        while self.read():
            pass

    def segment(self, port, flags, seq, ack=0, data=b""):
        self.frame(self.packet(port, flags, seq, ack, data))

    def packet(self, port, flags, seq, ack=0, data=b""):
        tcp = struct.pack(">HHIIBBHHH", port, self.far_port, seq & 0xffffffff, ack & 0xffffffff, 5 << 4, flags,
                          WINDOW, 0, 0)
        ends = socket.inet_aton(ADDRESS) + socket.inet_aton(world.ADDRESS)
        total = checksum(ends + struct.pack(">BBH", 0, 6, len(tcp) + len(data)) + tcp + data)
        tcp = tcp[:16] + struct.pack(">H", total) + tcp[18:]
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(data), 1, 0, 64, 6, 0) + ends
        ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
        return self.gateway_mac + ATTACKER_MAC + b"\x08\x00" + ip + tcp + data

    def read(self):
        """Takes what netproxy has sent, and goes on with handshakes. Returns whether there was anything."""
        if not select.select([self.sock], [], [], 0)[0]:
            return False
        piece = self.sock.recv(1 << 20)
        assert piece, "netproxy cut the attacker off"
        self.input += piece
        at = 0
        while at + 4 <= len(self.input):
            end = at + 4 + struct.unpack_from(">I", self.input, at)[0]
            if end > len(self.input):
                break
            self.take(bytes(self.input[at + 4:min(end, at + 100)]))
            at = end
        del self.input[:at]
        replies, self.replies = self.replies, b""
        self.sock.sendall(replies)
        return True

    def take(self, frame):
        if frame[12:14] == b"\x08\x06" and frame[28:32] == socket.inet_aton(GATEWAY):
            self.gateway_mac = frame[6:12]
        if frame[12:14] != b"\x08\x00" or frame[23] != 6 or len(frame) < 54:
            return
        _, port, seq, ack, _, flags = struct.unpack(">HHIIBB", frame[34:48])
        if flags & (SYN | ACK) == SYN | ACK and port not in self.open:
            self.open[port] = (ack, seq + 1)
            reply = self.packet(port, ACK, ack, seq + 1)
            self.replies += struct.pack(">I", len(reply)) + reply

    def connect(self, count):
        for port in range(10000, 10000 + count):
            self.segment(port, SYN, port)
        wait.until(lambda: not self.read() and len(self.open) == count,
                   f"{count} connections ({len(self.open)} so far)", 20)


class Server:
    """Accepts all, says `data` on each and keeps it."""

    def __init__(self, t, data=b""):
        self.data = data
        self.socks = []
        self.listener = t.keep(t.world.listen())
        self.port = self.listener.getsockname()[1]
        t.cleanup.callback(self.close)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                sock = self.listener.accept()[0]
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(self.data) + 1)
                self.socks.append(sock)
                if self.data:
                    with contextlib.suppress(BlockingIOError):
                        sock.send(self.data)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for sock in self.socks:
            sock.close()


def memory(bound_mib, data=b""):
    """A case with a well-behaved guest, an attacker, and a server that says `data`. netproxy may grow by so much."""
    def register(function):
        def run(t):
            t.proxy.start(*(part for one in t.guests for part in ("--link", one.link_argument())))
            t.guest.attach()
            t.guest.dhcp()
            stack = Stack(t, Server(t, data).port)
            before = t.proxy.rss_kib()
            function(stack)
            wait.until_still(lambda: (stack.read(), t.proxy.rss_kib() // 1024), 0.3, what="netproxy's memory to settle")
            grown = t.proxy.rss_kib() - before
            assert grown < t.rss_bound_kib(bound_mib), f"netproxy grew by {grown} KiB"
            assert t.guest.ping(GATEWAY)
            traffic.one_way(*t.pair(), MIB)
        run.__name__ = function.__name__
        run.__module__ = function.__module__
        run.__doc__ = function.__doc__
        return case(kinds=["stream", "stream"], start=False)(run)
    return register


@memory(bound_mib=160, data=bytes(300000))
def test_what_is_never_acknowledged(stack):
    """The far sides say more than a window each (without a bound: 200 MiB)."""
    stack.connect(2000)


@memory(bound_mib=100)
def test_gaps_that_are_never_filled(stack):
    """A window full of segments behind one that doesn't come (without a bound: 130 MiB)."""
    stack.connect(2000)
    for port, (seq, ack) in stack.open.items():
        for offset in range(100, WINDOW - 8000, 8000):
            stack.segment(port, ACK, seq + offset, ack, bytes(8000))
