# SPDX-License-Identifier: Apache-2.0
"""A client of 9P2000, as much of it as VPNKit's port control takes."""

import struct

VERSION, ATTACH, ERROR, WALK, OPEN, CREATE, READ, WRITE, CLUNK, REMOVE, STAT = (
    100, 104, 107, 110, 112, 114, 116, 118, 120, 122, 124)
READ_WRITE = 2
DIRECTORY = 0x80000000


def text(value):
    data = value.encode()
    return struct.pack("<H", len(data)) + data


class Error(Exception):
    """What the server answered."""


class Client:
    """Speaks on a connected socket, which it takes."""

    def __init__(self, sock):
        self.sock = sock
        self.fids = 0
        self.ask(VERSION, struct.pack("<I", 4096) + text("9P2000"))
        self.ask(ATTACH, struct.pack("<II", 0, 0xffffffff) + text("root") + text(""))

    def close(self):
        self.sock.close()

    def _receive(self, size):
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError("the server has closed the connection")
            data += piece
        return data

    def ask(self, kind, body):
        self.sock.sendall(struct.pack("<IBH", 7 + len(body), kind, 1) + body)
        return self.answer(kind)

    def answer(self, kind):
        size, got, _ = struct.unpack("<IBH", self._receive(7))
        body = self._receive(size - 7)
        if got == ERROR:
            raise Error(body[2:].decode())
        assert got == kind + 1, (kind, got)
        return body

    def walk(self, *names):
        self.fids += 1
        self.ask(WALK, struct.pack("<IIH", 0, self.fids, len(names)) + b"".join(map(text, names)))
        return self.fids

    def clunk(self, fid):
        self.ask(CLUNK, struct.pack("<I", fid))

    def mkdir(self, name):
        fid = self.walk()
        self.ask(CREATE, struct.pack("<I", fid) + text(name) + struct.pack("<IB", DIRECTORY | 0o755, 0))
        self.clunk(fid)

    def rmdir(self, name):
        self.ask(REMOVE, struct.pack("<I", self.walk(name)))

    def open(self, *names):
        fid = self.walk(*names)
        self.ask(OPEN, struct.pack("<IB", fid, READ_WRITE))
        return fid

    def write(self, fid, value):
        self.ask(WRITE, struct.pack("<IQI", fid, 0, len(value)) + value.encode())

    def read(self, fid):
        return self.ask(READ, struct.pack("<IQI", fid, 0, 100))[4:].decode()

    def forward(self, name, spec):
        """Makes a forward as VPNKit's clients do; (the open fid, the answer)."""
        self.mkdir(name)
        fid = self.open(name, "ctl")
        self.write(fid, spec)
        return fid, self.read(fid)
