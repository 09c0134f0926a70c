# SPDX-License-Identifier: Apache-2.0
"""A small name server that plays a resolver: any record type, large answers, errors, silence; it notes what it was
asked."""

import ipaddress
import select
import struct
from collections import namedtuple

from . import traffic

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
A, NS, SOA, PTR, MX, TXT, AAAA, SRV, NAPTR, OPT, HTTPS, ANY, CAA = (
    1, 2, 6, 12, 15, 16, 28, 33, 35, 41, 65, 255, 257)

Query = namedtuple("Query", "id name type transport port edns")
Answer = namedtuple("Answer", "rcode records authority", defaults=(NOERROR, (), ()))


def name_wire(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


def record(kind, data, ttl=300, owner=b"\xc0\x0c"):
    """A record, of the name that was asked for unless `owner` says otherwise."""
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def address(text, ttl=300):
    ip = ipaddress.ip_address(text)
    return record(A if ip.version == 4 else AAAA, ip.packed, ttl)


def txt(*strings, ttl=300):
    return record(TXT, b"".join(bytes([len(s)]) + s for s in strings), ttl)


def soa(zone, ttl=30):
    data = name_wire("ns." + zone) + name_wire("admin." + zone) + struct.pack(">5I", 1, 2, 3, 4, ttl)
    return record(SOA, data, ttl, name_wire(zone))


class NameServer(traffic.Server):
    """Serves port 53 of an address, over UDP and TCP. `answer` is called with a Query and returns an Answer, or None
    for silence. Over UDP, what is larger than the asker takes is cut off, with TC."""

    def __init__(self, namespace, at, answer):
        self.queries = []
        self._answer = answer
        self._streams = {}
        self._udp = namespace.udp(at, 53)
        super().__init__(self._udp, namespace.listen(at, 53))

    def serve(self, sock, poller, by_fd):
        if sock is self._udp:
            for _ in range(64):
                data, source = sock.recvfrom(65535)
                reply = self._reply(data, "udp", source[1])
                if reply:
                    sock.sendto(reply, source)
        elif sock in self.sockets:
            stream, peer = sock.accept()
            stream.settimeout(5)
            self._streams[stream] = (bytearray(), peer[1])
            by_fd[stream.fileno()] = stream
            poller.register(stream.fileno(), select.EPOLLIN)
        else:
            self._serve_stream(sock, poller, by_fd)

    def _serve_stream(self, sock, poller, by_fd):
        data, port = self._streams[sock]
        piece = sock.recv(65535)
        if not piece:
            del self._streams[sock]
            self.drop(sock, poller, by_fd)
            return
        data += piece
        while len(data) >= 2 and len(data) >= 2 + int.from_bytes(data[:2], "big"):
            size = int.from_bytes(data[:2], "big")
            reply = self._reply(bytes(data[2:2 + size]), "tcp", port)
            del data[:2 + size]
            if reply:
                sock.sendall(len(reply).to_bytes(2, "big") + reply)

    def _reply(self, data, transport, port):
        number, flags, _, _, _, more = struct.unpack_from(">6H", data)
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        kind, = struct.unpack_from(">H", data, at + 1)
        question = data[12:at + 5]
        edns = struct.unpack_from(">H", data, at + 8)[0] if more else None
        query = Query(number, ".".join(labels), kind, transport, port, edns)
        self.queries.append(query)
        answer = self._answer(query)
        if answer is None:
            return None
        opt = b"\0" + struct.pack(">HHIH", OPT, 4096, 0, 0) if more else b""
        head = struct.pack(">HHHHHH", number, 0x8180 | flags & 0x0110 | answer.rcode, 1,
                           len(answer.records), len(answer.authority), bool(more))
        whole = head + question + b"".join((*answer.records, *answer.authority)) + opt
        if transport == "tcp" or len(whole) <= max(512, edns or 0):
            return whole
        return struct.pack(">HHHHHH", number, 0x8380, 1, 0, 0, bool(more)) + question + opt
