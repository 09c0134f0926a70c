# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a machine with a disk, a volume and vsock: what is another process's is unplugged for the save, and plugged
in again; a restored guest is where it was, and its old connections end."""

import json
import os

from bed import proxy, wait

from harness import group
from managed import NAME, Managed


class Connected(Managed):
    """A machine whose guest has a connection to the host."""

    def __init__(self, settings, environment, directory):
        super().__init__(settings, environment, directory)
        self.listener = self.host.listen("127.0.0.1")
        self.listener.settimeout(30)

    def tear_down(self):
        super().tear_down()
        self.listener.close()

    def connect(self):
        """A connection on which the guest says something all the time; its end is in /tmp/end."""
        self.guest(f"(while echo x; do sleep 0.2; done | nc {proxy.ALIAS} {self.listener.getsockname()[1]} "
                   "> /dev/null 2>&1; echo over > /tmp/end) > /dev/null 2>&1 &")
        sock, _ = self.listener.accept()
        sock.settimeout(30)
        assert sock.recv(1) == b"x"
        return sock

    def check_connection_ends(self):
        wait.until(lambda: self.guest("cat /tmp/end 2> /dev/null") == "over\n", "the old connection to be reset", 15)


@group
class Snapshots(Connected):
    def __init__(self, settings, environment, directory):
        super().__init__(settings, environment, directory)
        self.shared = f"{directory}/shared"
        os.makedirs(self.shared)

    def list(self):
        return json.loads(self.vm("snapshot", "list", "-format", "json", NAME)[1])

    def check_devices(self, word):
        """The volume, vsock and the network, each used both ways. The guest takes a moment to find what was plugged in,
        and what was mounted is to be mounted again."""
        self.guest("umount -l /mnt 2> /dev/null; mkdir -p /mnt; "
                   "for i in $(seq 100); do mount -t virtiofs shared /mnt 2> /dev/null && break; sleep 0.1; done; "
                   "for i in $(seq 100); do [ -e /sys/class/net/eth0 ] && break; sleep 0.1; done")
        said = self.guest(f"cat /mnt/from-host && echo {word} by the guest > /mnt/from-guest")
        assert said == "from the host\n", said
        with open(f"{self.shared}/from-guest", encoding="ascii") as file:
            assert file.read() == f"{word} by the guest\n"
        said = self.guest("echo '{\"cniVersion\":\"1.1.0\",\"name\":\"x\",\"type\":\"netproxy-cni\"}' | "
                          "CNI_COMMAND=STATUS /opt/cni/bin/netproxy-cni && echo vsock works")
        assert said == "vsock works\n", said
        self.use_network()

    def test_start(self):
        with open(f"{self.shared}/from-host", "w", encoding="ascii") as file:
            file.write("from the host\n")
        disk = f"{self.directory}/disk.qcow2"
        self.vm("disk", "create", disk, "64M")
        self.init("-disk", disk, "-volume", self.shared)
        self.vm("start", NAME)
        self.guest("modprobe -a virtio_blk virtiofs")
        self.check_devices("started")

    def test_let_go(self):
        """A guest that lets go of devices when nobody waits for it, as one does that was asked for a snapshot and took too
        long, gets them again."""
        self.guest("for d in /sys/class/net/eth0/device /sys/bus/virtio/drivers/vmw_vsock_virtio_transport/virtio*; do "
                   "pci=$(basename $(readlink -f $d/..)); for s in /sys/bus/pci/slots/*; do "
                   "[ $(cat $s/address) = ${pci%.*} ] && echo 0 > $s/power; done; done")
        wait.until(lambda: {"network-back", "vsock-back"} <= set(self.events()), "both to be plugged in", 15)
        self.check_devices("plugged in")

    def test_save(self):
        self.guest("echo before | tee /tmp/mark | dd of=/dev/vda conv=fsync 2> /dev/null")
        with self.connect():
            self.vm("snapshot", "save", NAME, "first")
        assert self.state() == "running"
        self.check_devices("saved")

    def test_paused(self):
        self.vm("pause", NAME)
        self.vm("snapshot", "save", NAME, "asleep")
        assert self.state() == "paused", "a paused one stays paused"
        self.vm("resume", NAME)
        assert self.state() == "running"
        self.check_devices("resumed")
        self.vm("snapshot", "save", NAME, "alpha")
        assert [one["name"] for one in self.list()] == ["alpha", "asleep", "first"], "newest first"
        assert [one["state"] for one in self.list()] == ["running", "paused", "running"]
        assert all(one["size"] > 1 << 20 for one in self.list()), self.list()

    def test_refused(self):
        for words, *args in (("already", "save", NAME, "first"), ("stop it first", "restore", NAME, "first"),
                             ("no snapshot", "delete", NAME, "other"), ("is no name", "save", NAME, "../x")):
            status, said = self.vm("snapshot", *args, check=False)
            assert status == 1 and words in said and said.count("\n") == 1, said

    def test_restore(self):
        self.guest("echo after | tee /tmp/mark | dd of=/dev/vda conv=fsync 2> /dev/null")
        self.vm("stop", NAME)
        self.vm("snapshot", "restore", NAME, "first")
        assert self.state() == "running"
        assert self.guest("cat /tmp/mark; head -c 7 /dev/vda") == "before\nbefore\n"
        assert self.guest("cat /tmp/end 2> /dev/null") == "", "the connection was there when it was saved"
        self.check_devices("restored")
        self.check_connection_ends()

    def test_restore_paused(self):
        self.vm("stop", NAME)
        self.vm("snapshot", "restore", NAME, "asleep")
        assert self.state() == "paused"
        self.vm("resume", NAME)
        self.check_devices("restored")

    def test_delete(self):
        self.vm("snapshot", "delete", NAME, "asleep")
        self.vm("stop", NAME)
        self.vm("snapshot", "delete", NAME, "alpha")
        assert [one["name"] for one in self.list()] == ["first"]


@group
class SharedSnapshots(Connected):
    """On a netproxy that others run, too, which has gone on with the connections since the snapshot."""

    def __init__(self, settings, environment, directory):
        super().__init__(settings, environment, directory)
        os.makedirs(f"{directory}/proxy")
        self.proxy = proxy.Proxy(f"{settings.bin}/netproxy", self.host, f"{directory}/proxy", environment.resolv_conf,
                                 False)

    def diagnostics(self):
        return super().diagnostics() + self.proxy.diagnostics()

    def tear_down(self):
        super().tear_down()
        self.proxy.kill()

    def test_restore(self):
        self.proxy.start("--link", f"qemu:{self.directory}/net.sock")
        self.init("-networking", f"userspace,{self.directory}/net.sock")
        self.vm("start", NAME)
        with self.connect() as sock:
            self.vm("snapshot", "save", NAME, "first")
            # It goes on, ahead of what the snapshot knows.
            for _ in range(8):
                assert sock.recv(1)
            self.vm("kill", NAME)
            self.vm("snapshot", "restore", NAME, "first")
            self.check_connection_ends()
        assert "192.168.65.1" in self.guest("nslookup -type=a gateway.internal")
