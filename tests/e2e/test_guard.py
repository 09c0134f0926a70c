# SPDX-License-Identifier: Apache-2.0
"""Guests that claim what isn't theirs, and guests that are kept apart."""

import socket
import struct

from bed import traffic, wait, world
from bed.cases import MIB, case
from bed.proxy import ALIAS, GATEWAY

GATEWAY_MAC = bytes.fromhex("5a94efe40cdd")
GATEWAY_LINK_LOCAL = "fe80::5894:efff:fee4:cdd"
BROADCAST = b"\xff" * 6
ALL_NODES = bytes.fromhex("333300000001")
ETH_P_ALL = 3
PACKET_OUTGOING = 4
LOCAL_EXPERIMENTAL = 0x88b5  # an EtherType that nobody else uses


def mac_bytes(guest):
    return bytes.fromhex(guest.mac.replace(":", ""))


def ethernet(src, kind, payload, dst=BROADCAST):
    return dst + src + struct.pack(">H", kind) + payload


def arp(src, sender_mac, sender, target=GATEWAY):
    return ethernet(src, 0x806, struct.pack(">HHBBH", 1, 0x800, 6, 4, 2) + sender_mac + socket.inet_aton(sender)
                    + BROADCAST + socket.inet_aton(target))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(src, address, protocol, payload, dst="255.255.255.255", to=BROADCAST):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0,
                         socket.inet_aton(address), socket.inet_aton(dst))
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    return ethernet(src, 0x800, header + payload, to)


def udp(source, to, payload=b"x" * 20):
    return struct.pack(">HHHH", source, to, 8 + len(payload), 0) + payload


def icmp6(src, address, message, extensions=b"", first=58, kind=0x86dd):
    ip_src, ip_dst = (socket.inet_pton(socket.AF_INET6, a) for a in (address, "ff02::1"))
    total = checksum(ip_src + ip_dst + struct.pack(">II", len(message), 58) + message)
    message = message[:2] + struct.pack(">H", total) + message[4:]
    body = extensions + message
    return ethernet(src, kind, struct.pack(">IHBB", 0x60000000, len(body), first, 255) + ip_src + ip_dst + body,
                    ALL_NODES)


def advertisement(target, mac):
    """A neighbour advertisement that overrides what others know."""
    return b"\x88\0\0\0\x20\0\0\0" + socket.inet_pton(socket.AF_INET6, target) + b"\2\1" + mac


def router_advertisement(mac):
    return b"\x86\0\0\0\x40\0\x07\x08" + bytes(8) + b"\1\1" + mac


def vlan0(frame):
    return frame[:12] + b"\x81\0\0\0" + frame[12:]


def spoofed(victim, attacker):
    """What the attacker tries, each with the class that counts it."""
    own, other = mac_bytes(attacker), mac_bytes(victim)
    link_local = f"fe80::5054:ff:fe00:65{attacker.number + 2:02x}"
    padding = b"\x3a\0\1\4\0\0\0\0"  # destination options, and ICMPv6 behind them
    return [
        ("ARP", arp(own, own, victim.address)),
        ("ARP", arp(own, own, GATEWAY, victim.address)),
        ("ARP", arp(own, own, ALIAS, victim.address)),
        ("ARP", arp(own, GATEWAY_MAC, attacker.address)),
        ("ARP", vlan0(arp(own, own, GATEWAY, victim.address))),
        ("IP", ipv4(own, victim.address, 17, udp(1, 9))),
        ("IP", ipv4(own, GATEWAY, 17, udp(53, 9))),
        ("MAC", ipv4(other, attacker.address, 17, udp(1, 9))),
        ("MAC", ethernet(other, LOCAL_EXPERIMENTAL, bytes(46))),
        ("DHCP", ipv4(own, attacker.address, 17, udp(67, 68, b"\2\1\6\0" + bytes(296)))),
        ("RouterAdvertisement", icmp6(own, link_local, router_advertisement(own))),
        ("RouterAdvertisement", icmp6(own, link_local, router_advertisement(own), padding, 60)),
        ("NeighbourDiscovery", icmp6(own, link_local, advertisement(GATEWAY_LINK_LOCAL, own))),
        ("NeighbourDiscovery", icmp6(own, link_local, advertisement(link_local, GATEWAY_MAC))),
        ("IP", icmp6(own, GATEWAY_LINK_LOCAL, advertisement(GATEWAY_LINK_LOCAL, own))),
    ]


class Wire:
    """Raw frames of a guest's: what it sends, and what comes in."""

    def __init__(self, t, guest):
        with guest.ns:
            self.sock = t.keep(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)))
        self.sock.bind(("eth0", ETH_P_ALL))
        self.sock.settimeout(5 * wait.slowness)

    def send(self, frame):
        self.sock.send(frame)

    def received_until(self, mark):
        """The frames that came in before the one that contains `mark`."""
        frames = []
        while True:
            frame, source = self.sock.recvfrom(65536)
            if source[2] == PACKET_OUTGOING:
                continue
            if mark in frame:
                return frames
            frames.append(frame)


def attack(t, victim, attacker):
    """Sends everything; returns which of it the victim saw. What the guest sends arrives in order, so the end is seen
    when all before it has been."""
    tries = spoofed(victim, attacker)
    ears, mouth = Wire(t, victim), Wire(t, attacker)
    for number, (_, frame) in enumerate(tries):
        mouth.send(frame + b"spoofed %02d" % number)
    mouth.send(ethernet(mac_bytes(attacker), LOCAL_EXPERIMENTAL, b"the end".ljust(46, b"\0")))
    frames = ears.received_until(b"the end")
    return [number for number in range(len(tries)) if any(b"spoofed %02d" % number in f for f in frames)]


def lladdr(guest, address):
    words = guest.ns.ip("neigh", "show", address, "dev", "eth0").split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else None


@case(links=("tap", "stream"), guests=2)
def test_spoofed_frames_reach_nobody(t):
    victim, attacker = t.guests
    assert victim.ping(GATEWAY) and victim.ping(attacker.address)
    client, far = t.pair()
    seen = attack(t, victim, attacker)
    assert not seen, f"the victim saw {seen} of {spoofed(victim, attacker)}"
    assert lladdr(victim, GATEWAY) == "5a:94:ef:e4:0c:dd"
    # The gateway wasn't misled either: what it sends still reaches the victim.
    traffic.one_way(far, client, MIB)
    assert victim.ping(world.ADDRESS) and victim.ping(attacker.address)
    counted = t.proxy.get("/stats")["Guard"]
    for kind in {kind for kind, _ in spoofed(victim, attacker)}:
        wanted = sum(kind == other for other, _ in spoofed(victim, attacker))
        assert counted[kind] >= wanted, (kind, wanted, counted)
    assert "refused from" in t.proxy.log()
    # What is the attacker's own works.
    assert attacker.ping(victim.address) and attacker.ping(world.ADDRESS)


@case(kinds=["tap", "tap"], args=["--no-guard"])
def test_without_guard(t):
    """The same frames pass: so it was the guard."""
    victim, attacker = t.guests
    seen = attack(t, victim, attacker)
    assert len(seen) == len(spoofed(victim, attacker)), seen


@case(kinds=["stream", "stream"])
def test_address_waits_for_its_guest(t):
    """While a guest with a lease is away, nobody else gets its address; it has it again behind a new link."""
    owner, other = t.guests
    address = owner.address
    owner.detach()
    other.ns.ip("addr", "add", f"{address}/24", "dev", "eth0")
    assert not other.ping(world.ADDRESS, "-I", address, deadline=1)
    other.ns.ip("addr", "del", f"{address}/24", "dev", "eth0")
    owner.attach()
    owner.ns.ip("addr", "add", f"{address}/24", "dev", "eth0")
    owner.ns.ip("route", "add", "default", "via", GATEWAY)
    assert owner.ping(world.ADDRESS)
    assert other.ping(address)


@case(links=("tap",), dhcp=False, guests=2)
def test_addresses_without_lease(t):
    """First come, first served; the second hears nothing."""
    for guest, address in zip(t.guests, ("192.168.65.77", "192.168.65.78")):
        guest.ns.ip("addr", "add", f"{address}/24", "dev", "eth0")
        guest.ns.ip("route", "add", "default", "via", GATEWAY)
        assert guest.ping(world.ADDRESS)
    second = t.guests[1]
    assert second.ping("192.168.65.77")
    second.ns.ip("addr", "add", "192.168.65.77/32", "dev", "eth0")
    assert not second.ping(world.ADDRESS, "-I", "192.168.65.77", deadline=1)
    assert t.guest.ping(world.ADDRESS)


@case(kinds=["tap", "stream", "tap"], args=["--isolate"])
def test_isolated(t):
    """Guests have the world, but not each other: no unicast, no broadcast, no flooding."""
    a, b, c = t.guests
    ears = [Wire(t, b), Wire(t, c)]
    mouth = Wire(t, a)
    own = mac_bytes(a)
    for dst in (BROADCAST, ALL_NODES, mac_bytes(b), bytes.fromhex("020000000099")):
        mouth.send(ethernet(own, LOCAL_EXPERIMENTAL, b"from another guest".ljust(46, b"\0"), dst))
    assert not a.ping(b.address, deadline=1)
    a.ns.ip("neigh", "replace", b.address, "lladdr", b.mac, "dev", "eth0")
    assert not a.ping(b.address, deadline=1)
    for guest in t.guests:
        assert guest.ping(GATEWAY) and guest.ping(world.ADDRESS)
        guest.dhcp()
    # Behind all that, each is told something by the gateway.
    for guest, ear in zip((b, c), ears):
        assert guest.ping(GATEWAY, "-p", "7468652065", "-s", "40")
        frames = ear.received_until(b"the ethe e")
        assert not any(b"from another guest" in frame or own == frame[6:12] for frame in frames)
    assert t.proxy.get("/stats")["Switch"]["Isolated"] >= 5
