# SPDX-License-Identifier: Apache-2.0
"""A VMM that means harm, at the vhost-user socket of its guest: the network of the others goes on."""

import array
import mmap
import os
import socket
import struct

from bed import wait
from bed.cases import case

SIZE = 1 << 20
USER = 0x7f0000000000
RING = 256
SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_NUM, SET_ADDR, SET_BASE, SET_KICK, SET_CALL = 2, 3, 5, 8, 9, 10, 12, 13
VERSION_1, INDIRECT = 1 << 32, 1 << 28


class Vmm:
    """A front-end without a guest behind it. Ring 0 is at 0, ring 1 at 64 KiB of its memory."""

    def __init__(self, t, path):
        self.sock = t.keep(socket.socket(socket.AF_UNIX))
        self.sock.connect(path)
        self.sock.settimeout(5 * wait.slowness)
        self.memory = os.memfd_create("guest", os.MFD_CLOEXEC)
        t.cleanup.callback(os.close, self.memory)
        os.ftruncate(self.memory, SIZE)
        self.bytes = mmap.mmap(self.memory, SIZE)
        self.fds = []
        for _ in range(4):
            self.fds.append(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            t.cleanup.callback(os.close, self.fds[-1])

    def send(self, request, payload=b"", fds=()):
        self.sock.sendmsg([struct.pack("<III", request, 1, len(payload)) + payload],
                          [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])

    def memory_table(self):
        self.send(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, 0, SIZE, USER, 0), [self.memory])

    def start(self):
        self.send(SET_OWNER)
        self.send(SET_FEATURES, struct.pack("<Q", VERSION_1 | INDIRECT))
        self.memory_table()
        for ring in (0, 1):
            at = USER + ring * 65536
            self.send(SET_NUM, struct.pack("<II", ring, RING))
            self.send(SET_BASE, struct.pack("<II", ring, 0))
            self.send(SET_ADDR, struct.pack("<IIQQQQ", ring, 0, at, at + 8192, at + 4096, 0))
            self.send(SET_CALL, struct.pack("<Q", ring), [self.fds[ring]])
            self.send(SET_KICK, struct.pack("<Q", ring), [self.fds[2 + ring]])

    def descriptor(self, at, addr, size, flags, following):
        struct.pack_into("<QIHH", self.bytes, at, addr, size, flags, following)

    def offer(self, ring, heads):
        at = ring * 65536 + 4096
        struct.pack_into("<HH", self.bytes, at, 0, len(heads))
        for i, head in enumerate(heads):
            struct.pack_into("<H", self.bytes, at + 4 + 2 * i, head)

    def kick(self, ring):
        os.eventfd_write(self.fds[2 + ring], 1)


@case(start=False)
def test_memory_taken_away(t):
    """The file behind the guest's memory is cut off: while it is looked at, and while a frame lies there."""
    path = f"{t.directory}/vhost.sock"
    t.proxy.start("--link", f"vhost:{path}")
    for left in (0, 65536):
        vmm = Vmm(t, path)
        vmm.start()
        # A large frame to nobody, 200 times, which netproxy would leave where it is.
        vmm.bytes[0x80000:0x80012] = bytes(12) + b"\xff" * 6
        vmm.descriptor(65536, 0x80000, 30000, 0, 0)
        vmm.offer(1, [0] * 200)
        wait.until(lambda: t.proxy.log().count("net: queue 1 runs") > bool(left), "the rings to run")
        os.ftruncate(vmm.memory, left)
        vmm.kick(1)
        vmm.kick(0)
        wait.until(lambda: t.proxy.log().count("the VMM took the memory away") > bool(left), "the queue to break")
        vmm.sock.close()
        wait.until(lambda: t.proxy.log().count("the front-end's connection ends") > bool(left), "its end")


@case(start=False)
def test_chains_without_end(t):
    """Indirect tables of 32768 descriptors of no bytes, in every entry of the ring: refused, not read 256 times."""
    path = f"{t.directory}/vhost.sock"
    t.proxy.start("--link", f"vhost:{path}")
    vmm = Vmm(t, path)
    vmm.start()
    for i in range(32767):
        vmm.descriptor(0x80000 + 16 * i, 0x1000, 0, 1, i + 1)
    vmm.descriptor(65536, 0x80000, 32768 * 16, 4, 0)
    vmm.offer(1, [0] * RING)
    vmm.kick(1)
    wait.until(lambda: "a descriptor of no bytes" in t.proxy.log(), "the queue to break")
