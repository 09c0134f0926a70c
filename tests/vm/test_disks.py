# SPDX-License-Identifier: Apache-2.0
"""Disks: made sparse and never over a file, given another size while the machine is stopped and while it runs."""

import json
import os
import subprocess

from harness import group
from managed import NAME, Managed

MIB = 1 << 20


@group
class Disks(Managed):
    def __init__(self, settings, environment, directory):
        super().__init__(settings, environment, directory)
        self.raw = f"{directory}/first.img"
        self.qcow2 = f"{directory}/second.qcow2"

    def refuse(self, words, *args):
        status, said = self.vm(*args, check=False)
        assert status == 1 and words in said and said.count("\n") == 1, (status, said)

    def sizes(self):
        return {one["name"]: one["size"] // MIB
                for one in json.loads(self.vm("disk", "list", "-format", "json", NAME)[1])}

    def seen(self, name):
        """What the guest sees of a disk, in MiB."""
        return int(self.guest(f"cat /sys/block/{name}/size")) * 512 // MIB

    def test_create(self):
        for path, size in ((self.raw, 64 * MIB), (self.qcow2, 1024 * MIB)):
            self.vm("disk", "create", path, f"{size // MIB}M")
            info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", path]))
            assert info["virtual-size"] == size and info["format"] == ("qcow2" if path == self.qcow2 else "raw")
            assert os.stat(path).st_blocks * 512 < MIB, "it is sparse"
        with open(self.raw, "r+b") as file:
            file.write(b"kept")
        self.refuse("is there already", "disk", "create", self.raw, "10G")
        self.refuse("is there already", "disk", "create", self.qcow2, "10G")
        with open(self.raw, "rb") as file:
            assert file.read(4) == b"kept"
        self.refuse("is not a size", "disk", "create", f"{self.directory}/x", "ten")
        self.refuse("can't be made in", "disk", "create", f"{self.directory}/no/x", "1G")
        assert not os.path.exists(f"{self.directory}/x")

    def test_resize_stopped(self):
        self.init("-disk", self.raw, "-disk", self.qcow2)
        cmdline = self.vm("cmdline", NAME)[1]
        assert "driver=raw,node-name=disk0," in cmdline and "driver=qcow2,node-name=disk1," in cmdline, cmdline
        self.vm("disk", "resize", NAME, "vda", "96M")
        self.vm("disk", "resize", NAME, "second.qcow2", "+1G")
        assert self.sizes() == {"vda": 96, "vdb": 2048}
        assert os.path.getsize(self.raw) == 96 * MIB
        subprocess.run(["qemu-img", "check", "-q", self.qcow2], check=True)
        self.refuse("what is behind that would be lost", "disk", "resize", NAME, "vdb", "1G")
        self.refuse("what is behind that would be lost", "disk", "resize", NAME, self.raw, "64M")
        self.refuse("has 2G already", "disk", "resize", NAME, "vdb", "2G")
        self.refuse('there is no disk "vdc"; there are vda (first.img), vdb (second.qcow2)',
                    "disk", "resize", NAME, "vdc", "1G")
        self.refuse("from 1M to 16T", "disk", "resize", NAME, "vda", "+16T")
        self.vm("disk", "resize", "-shrink", NAME, "vda", "64M")
        self.vm("disk", "resize", "-shrink", NAME, self.qcow2, "1G")
        assert self.sizes() == {"vda": 64, "vdb": 1024}
        subprocess.run(["qemu-img", "check", "-q", self.qcow2], check=True)

    def test_used_by_another(self):
        """The image's lock is respected."""
        with subprocess.Popen(["qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none", "-monitor", "stdio",
                               "-drive", f"if=none,file={self.qcow2},format=qcow2"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            # It has the disk once it talks.
            assert other.stdout.read(1)
            self.refuse("another process uses it", "disk", "resize", NAME, "vdb", "2G")
            other.stdin.close()
            other.kill()

    def test_resize_running(self):
        self.vm("start", NAME)
        self.guest("modprobe virtio_blk")
        assert (self.seen("vda"), self.seen("vdb")) == (64, 1024)
        assert self.guest("head -c 4 /dev/vda") == "kept"
        self.vm("disk", "resize", NAME, "vda", "+32M")
        self.vm("disk", "resize", NAME, "vdb", "3G")
        assert (self.seen("vda"), self.seen("vdb")) == (96, 3072)
        assert self.sizes() == {"vda": 96, "vdb": 3072}
        # What it got can be used.
        self.guest("echo far | dd of=/dev/vdb bs=1M seek=2999; sync; echo 3 > /proc/sys/vm/drop_caches")
        assert self.guest("dd if=/dev/vdb bs=1M skip=2999 count=1 2> /dev/null | head -c 3") == "far"
        assert self.events().count("disk-resized") == 2

    def test_running_is_not_shrunk(self):
        self.refuse("stop the machine first", "disk", "resize", "-shrink", NAME, "vdb", "1G")
        status, answer = self.rest("POST", "/machine/disks", {"disk": "vdb", "bytes": 1024 * MIB})
        assert status == 409 and "stop the machine first" in answer["error"], answer
        assert self.rest("POST", "/machine/disks", {"disk": "vdx", "bytes": MIB})[0] == 404
        assert self.rest("POST", "/machine/disks", {"disk": "vdb", "bytes": 1})[0] == 400
        assert self.rest("GET", "/machine/disks")[1][1]["size"] == 3072 * MIB
        self.vm("pause", NAME)
        self.vm("disk", "resize", NAME, "vdb", "4G")
        self.vm("resume", NAME)
        assert self.seen("vdb") == 4096

    def test_no_screen(self):
        self.refuse("has no screen", "screenshot", NAME, f"{self.directory}/none.png")

    def test_stop(self):
        self.vm("stop", NAME)
        subprocess.run(["qemu-img", "check", "-q", self.qcow2], check=True)
        assert self.sizes() == {"vda": 96, "vdb": 4096}
