# SPDX-License-Identifier: Apache-2.0
"""A guest that means harm: it writes whatever it likes to its link. Others must not notice."""

import random
import select
import socket
import struct

from bed import traffic, wait, world
from bed.cases import MIB, case
from bed.proxy import GATEWAY

ATTACKER_MAC = bytes.fromhex("5254000066aa")
BROADCAST = b"\xff" * 6


class Attacker:
    """A raw client of a second stream link."""

    def __init__(self, t):
        self.t = t
        self.path = t.guests[1].socket
        self.sock = None

    def connect(self):
        if self.sock:
            self.sock.close()
        self.sock = self.t.keep(socket.socket(socket.AF_UNIX))
        self.sock.settimeout(10 * wait.slowness)
        self.sock.connect(self.path)

    def write(self, data):
        """Writes, and drops what comes back; a connection that was cut off is made again."""
        if not self.sock:
            self.connect()
        try:
            self.sock.sendall(data)
            if not self.drain():
                self.connect()
        except (BrokenPipeError, ConnectionResetError):
            self.connect()

    def drain(self):
        """Reads what there is; False at the end of the stream."""
        while select.select([self.sock], [], [], 0)[0]:
            if not self.sock.recv(1 << 20):
                return False
        return True

    def frame(self, data):
        self.write(struct.pack(">I", len(data)) + data)


def hostile(function):
    """A case with a well-behaved guest, and an attacker on a link of its own."""
    def run(t):
        t.proxy.start(*(part for one in t.guests for part in ("--link", one.link_argument())))
        t.guest.attach()
        t.guest.dhcp()
        client, far = t.pair()
        function(t, Attacker(t))
        traffic.one_way(client, far, MIB)
        assert t.guest.ping(GATEWAY)
        t.pair()
    run.__name__ = function.__name__
    run.__module__ = function.__module__
    run.__doc__ = function.__doc__
    return case(kinds=["stream", "stream"], start=False)(run)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(payload, protocol, src="192.168.65.200", dst=world.ADDRESS, fragment=0, ident=1, ihl=5, total=None):
    header = struct.pack(">BBHHHBBH4s4s", 0x40 | ihl, 0, len(payload) + 20 if total is None else total,
                         ident, fragment, 64, protocol, 0, socket.inet_aton(src), socket.inet_aton(dst))
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    return BROADCAST + ATTACKER_MAC + b"\x08\x00" + header + payload


def tcp(flags, seq=1, ack=0, options=b"", data=b"", sport=5000, dport=80, offset=None, urgent=0):
    words = 5 + len(options) // 4 if offset is None else offset
    segment = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, (words & 15) << 4, flags, 65535, 0,
                          urgent) + options + data
    pseudo = socket.inet_aton("192.168.65.200") + socket.inet_aton(world.ADDRESS) + struct.pack(
        ">BBH", 0, 6, len(segment))
    return segment[:16] + struct.pack(">H", checksum(pseudo + segment)) + segment[18:]


@hostile
def test_bad_framing(t, attacker):
    """Lengths of 0, of one byte, too large ones, and half frames."""
    for length in (0, 1, 13, 70000, 0x7fffffff, 0x80000000, 0xffffffff):
        attacker.connect()
        attacker.write(struct.pack(">I", length) + b"\xff" * min(length, 100))
    for cut in range(1, 20):
        attacker.connect()
        attacker.sock.sendall((struct.pack(">I", 60) + b"\xff" * 60)[:cut])
    attacker.connect()
    for byte in struct.pack(">I", 60) + b"\xff" * 60:
        attacker.sock.sendall(bytes([byte]))


@hostile
def test_random_frames(t, attacker):
    """Frames of noise, of every size, with each EtherType that means something."""
    rng = random.Random(1)
    for number in range(3000):
        size = rng.choice((0, 1, 13, 14, 20, 34, 54, 60, 200, 1514, 9000, 65549))
        kind = rng.choice((b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x81\x00", b"\0\0"))
        data = BROADCAST + ATTACKER_MAC + kind + rng.randbytes(size)
        attacker.frame(data[:max(size, 1)])


@hostile
def test_mutated_frames(t, attacker):
    """Frames that are almost right: a byte or a length of a good one changed. All go to the gateway's MAC: what
    one guest may tell another about addresses is another matter."""
    rng = random.Random(2)
    gateway_mac = bytes.fromhex(t.guest.ns.ip("neigh", "show", GATEWAY).split("lladdr ")[1][:17]
                                .replace(":", ""))
    dhcp = struct.pack(">HHHH", 68, 67, 8 + 300, 0) + (
        b"\1\1\6\0" + bytes(24) + ATTACKER_MAC + bytes(202)
        + b"\x63\x82\x53\x63\x35\1\1\x37\4\1\3\6\x0f\xff").ljust(300, b"\0")
    dns = struct.pack(">HHHH", 5000, 53, 8 + 24, 0) + struct.pack(
        ">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\1a\4test\0\0\1\0\1"
    arp = BROADCAST + ATTACKER_MAC + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1)
    arp += ATTACKER_MAC + socket.inet_aton("192.168.65.200") + bytes(6) + socket.inet_aton(GATEWAY)
    good = [ipv4(dhcp, 17, "0.0.0.0", "255.255.255.255"), ipv4(dns, 17, dst=GATEWAY), arp,
            ipv4(tcp(2, options=b"\2\4\5\xb4\4\2\1\3\3\7\1\1"), 6),
            ipv4(tcp(0x10, data=b"x" * 100), 6), ipv4(b"\x08\0\xf7\xff\0\0\0\0", 1, dst=GATEWAY)]
    good = [gateway_mac + frame[6:] for frame in good]
    for frame in good:
        attacker.frame(frame)
    for _ in range(4000):
        data = bytearray(rng.choice(good))
        for _ in range(rng.choice((1, 1, 2, 5))):
            data[rng.randrange(12, len(data))] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
        attacker.frame(bytes(data[:rng.randrange(14, len(data) + 1)] if rng.random() < 0.3 else data))


@hostile
def test_fragments(t, attacker):
    """Overlapping, endless, oversized and lonely fragments: no memory without bound."""
    before = t.proxy.rss_kib()
    more = 0x2000
    for ident in range(20000):
        attacker.frame(ipv4(b"x" * 1400, 17, fragment=more | (ident % 40), ident=ident & 0xffff))
    for ident in range(200):
        attacker.frame(ipv4(b"x" * 64, 17, fragment=more, ident=ident))
        attacker.frame(ipv4(b"y" * 64, 17, fragment=more | 4, ident=ident))
        attacker.frame(ipv4(b"z" * 1400, 17, fragment=8191, ident=ident))
        attacker.frame(ipv4(b"", 17, fragment=1, ident=ident))
    grown = t.proxy.rss_kib() - before
    assert grown < t.rss_bound_kib(8), f"fragments made netproxy grow by {grown} KiB"


@hostile
def test_lying_headers(t, attacker):
    """Lengths and offsets that claim more, or less, than there is; urgent pointers; zero MSS."""
    for total in (0, 19, 20, 21, 40, 1500, 65535):
        attacker.frame(ipv4(tcp(2), 6, total=total))
    for ihl in range(16):
        attacker.frame(ipv4(tcp(2), 6, ihl=ihl))
    for offset in range(16):
        attacker.frame(ipv4(tcp(2, offset=offset), 6))
        attacker.frame(ipv4(tcp(0x38, offset=offset, urgent=65535, data=b"x"), 6))
    for options in (b"\2\4\0\0", b"\2\4\0\1", b"\2\0\0\0", b"\2\x28\5\xb4", b"\3\3\xff\0", b"\5\xff\0\0",
                    b"\xff\1\1\1", b"\1\1\1\2"):
        attacker.frame(ipv4(tcp(2, options=options), 6))
        attacker.frame(ipv4(tcp(0x10, seq=2, ack=1, options=options, data=b"data"), 6))
    for size in (0, 7, 8, 9, 65535):
        attacker.frame(ipv4(struct.pack(">HHHH", 5000, 53, size, 0) + b"data", 17, dst=GATEWAY))


@hostile
def test_syn_flood(t, attacker):
    """50,000 SYNs to a black hole from one guest: bounded, and others still connect at once."""
    before = t.proxy.rss_kib()
    for number in range(50000):
        attacker.frame(ipv4(tcp(2, seq=number, sport=1024 + number % 60000), 6, dst="10.79.0.1"))
    took = traffic.seconds(t.pair)
    assert took < 3 * wait.slowness, f"beside a SYN flood a connect took {took:.1f} s"
    grown = t.proxy.rss_kib() - before
    assert grown < t.rss_bound_kib(128), f"a SYN flood made netproxy grow by {grown} KiB"


@hostile
def test_mac_flood(t, attacker):
    """More source addresses than any table holds: the others' entries stay."""
    for number in range(50000):
        mac = b"\x02" + struct.pack(">IB", number, 1)
        attacker.frame(BROADCAST + mac + b"\x88\xb5" + bytes(46))
    assert t.guest.ping(GATEWAY)


@hostile
def test_reader_that_does_not_read(t, attacker):
    """An attacker that asks for much and reads nothing: its own queue fills, nobody else's."""
    before = t.proxy.rss_kib()
    attacker.connect()
    frame = ipv4(b"\x08\0" + bytes(1402), 1, dst=GATEWAY)
    frame = struct.pack(">I", len(frame)) + frame
    attacker.sock.setblocking(False)
    sent = 0
    for _ in range(20000):
        try:
            sent += attacker.sock.send(frame)
        except BlockingIOError:
            break
    grown = t.proxy.rss_kib() - before
    assert grown < t.rss_bound_kib(16), f"netproxy grew by {grown} KiB for one that doesn't read"
