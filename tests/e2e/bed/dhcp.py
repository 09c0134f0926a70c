# SPDX-License-Identifier: Apache-2.0
"""A DHCPv4 client that says exactly what a test wants it to say, beside the real ones."""

import os
import socket
import struct

from . import wait
from .guest import IFNAME

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
_COOKIE = bytes((99, 130, 83, 99))
_BROADCAST = 0x8000


class Answer:
    def __init__(self, data):
        self.yiaddr = socket.inet_ntoa(data[16:20])
        self.siaddr = socket.inet_ntoa(data[20:24])
        self.file = data[108:236].rstrip(b"\0").decode()
        self.options = {}
        at = 240
        while at < len(data) and data[at] != 255:
            if data[at]:
                size = data[at + 1]
                self.options[data[at]] = self.options.get(data[at], b"") + data[at + 2:at + 2 + size]
                at += 1 + size
            at += 1
        self.type = self.options[53][0]


class Client:
    """Speaks from the guest's interface, in the name of its MAC; asks for broadcast answers."""

    def __init__(self, guest, client_id=None, chaddr=None):
        self.chaddr = bytes.fromhex((chaddr or guest.mac).replace(":", ""))
        self.client_id = client_id
        self.sock = guest.ns.socket(socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, IFNAME.encode())
        self.sock.bind(("", 68))

    def close(self):
        self.sock.close()

    def _message(self, kind, xid, ciaddr, giaddr, options):
        head = struct.pack("!BBBBIHH4s4s4s4s16s192x", 1, 1, 6, 0, xid, 0, _BROADCAST,
                           socket.inet_aton(ciaddr), bytes(4), bytes(4), socket.inet_aton(giaddr),
                           self.chaddr)
        given = {53: bytes((kind,)), **options}
        if self.client_id:
            given[61] = self.client_id
        body = b"".join(bytes((code, len(value))) + value for code, value in given.items())
        return head + _COOKIE + body + b"\xff"

    def ask(self, kind, ciaddr="0.0.0.0", giaddr="0.0.0.0", to="255.255.255.255", timeout=5, **fields):
        """Sends a message and returns the Answer to it, or None when none comes in time. `fields`: requested,
        server (addresses), ask (codes), and o12=b"..." for any other option."""
        xid = int.from_bytes(os.urandom(4), "big")
        options = {}
        for name, value in fields.items():
            if name in ("requested", "server"):
                options[50 if name == "requested" else 54] = socket.inet_aton(value)
            elif name == "ask":
                options[55] = bytes(value)
            else:
                options[int(name[1:])] = value
        self.sock.sendto(self._message(kind, xid, ciaddr, giaddr, options), (to, 67))
        self.sock.settimeout(timeout * wait.slowness)
        try:
            while True:
                data = self.sock.recv(2048)
                if data[4:8] == xid.to_bytes(4, "big"):
                    return Answer(data)
        except socket.timeout:
            return None

    def obtain(self):
        """DISCOVER to ACK; returns the address."""
        offer = self.ask(DISCOVER)
        assert offer and offer.type == OFFER, "no DHCP offer"
        server = socket.inet_ntoa(offer.options[54])
        ack = self.ask(REQUEST, requested=offer.yiaddr, server=server)
        assert ack and ack.type == ACK and ack.yiaddr == offer.yiaddr, "the DHCP offer was not honoured"
        return ack.yiaddr
