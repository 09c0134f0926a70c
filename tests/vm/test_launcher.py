# SPDX-License-Identifier: Apache-2.0
"""netproxy-vm run: every way to boot reaches userspace and the network, and what a machine can be given reaches the
guest: metadata, volumes, an address, vsock ports, a balloon, a screen."""

import os
import shutil
import socket
import struct
import subprocess

from bed import netns, wait, world

import harness
import machine
from harness import group

CMDLINE = "console=tty0 console=ttyS0 quiet np.run=commands"
VSOCK_PORT = 2374


class Launched:
    """A group's machine, one at a time."""

    def __init__(self, settings, environment, directory):
        self.settings = settings
        self.host = environment.host
        self.directory = directory
        self.machine = None
        netns.resolv_conf(self.host, f"nameserver {world.ADDRESS}\n")

    def diagnostics(self):
        return self.machine.diagnostics() if self.machine else "no machine"

    def tear_down(self):
        if self.machine:
            self.machine.kill()

    def launch(self, *args, name="vm"):
        if self.machine:
            # Of a test that failed.
            self.machine.kill()
        argv = ["ip", "netns", "exec", self.host.name, f"{self.settings.bin}/netproxy-vm", "run",
                "-accel", "tcg", "-mem", "512", "-state", f"{self.directory}/state", *args]
        self.machine = machine.Machine(argv, self.directory, self.host, name)
        return self.machine.boot()

    def power_off(self):
        status = self.machine.terminate()
        assert status == 0, f"netproxy-vm ended with status {status}\n{self.machine.stderr()}"
        self.machine.console.wait_for("guest: power button pressed", 1)


@group
class Boot(Launched):
    """Images of "image build", in each format."""

    @staticmethod
    def check_screen(path, size):
        """The screen's size, as a VNC server tells it when a client has come (RFC 6143, 7.3.2)."""
        with socket.socket(socket.AF_UNIX) as vnc:
            vnc.settimeout(10)
            vnc.connect(path)
            with vnc.makefile("rwb", buffering=0) as stream:
                assert stream.read(12).startswith(b"RFB ")
                stream.write(b"RFB 003.008\n")
                assert 1 in stream.read(stream.read(1)[0]), "it wants a password"
                stream.write(b"\x01")
                assert stream.read(4) == bytes(4)
                stream.write(b"\x01")
                seen = struct.unpack("!HH", stream.read(4))
        assert seen == size, f"the screen has {seen}"

    def boot(self, *args, inspect=None):
        assert self.launch("-data", "seen by the guest", *args) == "192.168.65.2"
        output = self.machine.console.check("cat /run/config/config; echo")
        assert output.strip() == "seen by the guest", output
        self.machine.console.check("nslookup -type=a host.internal")
        if inspect:
            inspect()
        self.power_off()

    def test_image_build(self):
        add = f"{self.directory}/add/etc"
        os.makedirs(add)
        shutil.copy(f"{harness.HERE}/guest/commands", add)
        subprocess.run([f"{harness.ROOT}/launcher/image/build-image", "--bin", self.settings.bin,
                        "--cache", self.settings.guest, "--format", "all", "--add", os.path.dirname(add),
                        "--cmdline", CMDLINE, f"{self.directory}/np"], check=True,
                       stderr=subprocess.PIPE)

    def test_kernel_and_initrd(self):
        self.boot(f"{self.directory}/np")

    def test_kernel_and_squashfs(self):
        self.boot(f"{self.directory}/np-squash")

    def test_disk_bios(self):
        self.boot(f"{self.directory}/np.img")

    def test_disk_uefi_with_display(self):
        vnc = f"{self.directory}/vnc"

        def inspect():
            self.check_screen(vnc, (1280, 720))
            size = self.machine.console.check("cat /sys/class/graphics/fb0/virtual_size")
            assert size.strip() == "1280,720", f"the guest's framebuffer is {size}"
        self.boot("-uefi", "-disk", f"{self.directory}/np.img", "-display", "720p",
                  "-vnc", f"unix:{vnc}", inspect=inspect)

    def test_iso_bios(self):
        self.boot("-iso", f"{self.directory}/np.iso")

    def test_iso_uefi(self):
        self.boot("-uefi", f"{self.directory}/np.iso")


@group
class Given(Launched):
    """One machine with everything."""

    def test_boot(self):
        for name in ("shared", "kept"):
            os.makedirs(f"{self.directory}/{name}")
            with open(f"{self.directory}/{name}/file", "w", encoding="ascii") as file:
                file.write(f"{name} by the host\n")
        modules = "virtiofs virtio_balloon virtio_blk"
        add = f"{self.directory}/add/etc"
        os.makedirs(add)
        shutil.copy(f"{harness.HERE}/guest/commands", add)
        subprocess.run([f"{harness.ROOT}/launcher/image/build-image", "--bin", self.settings.bin,
                        "--cache", self.settings.guest, "--add", os.path.dirname(add),
                        "--cmdline", CMDLINE, f"{self.directory}/np"], check=True,
                       stderr=subprocess.PIPE)
        address = self.launch(
            "-ip", "192.168.65.77", "-vsock-ports", str(VSOCK_PORT),
            "-volume", f"{self.directory}/shared", "-volume", f"{self.directory}/kept:kept:ro",
            "-disk", f"{self.directory}/new.qcow2,size=1G", "-balloon", "256M",
            f"{self.directory}/np")
        assert address == "192.168.65.77", address
        self.machine.console.check(f"modprobe -a {modules}")

    def test_disk_is_made(self):
        size = self.machine.console.check("cat /sys/block/vda/size").strip()
        assert size == str((1 << 30) // 512), size
        assert os.stat(f"{self.directory}/new.qcow2").st_blocks * 512 < 1 << 20

    def test_volume(self):
        console = self.machine.console
        output = console.check("mkdir -p /mnt/s && mount -t virtiofs shared /mnt/s && cat /mnt/s/file")
        assert output == "shared by the host\n", output
        console.check("echo from the guest > /mnt/s/back")
        with open(f"{self.directory}/shared/back", encoding="ascii") as file:
            assert file.read() == "from the guest\n"

    def test_volume_read_only(self):
        console = self.machine.console
        output = console.check("mkdir -p /mnt/k && mount -t virtiofs kept /mnt/k && cat /mnt/k/file")
        assert output == "kept by the host\n", output
        status, output = console.run("echo no > /mnt/k/file")
        assert status != 0 and "Read-only file system" in output, output
        with open(f"{self.directory}/kept/file", encoding="ascii") as file:
            assert file.read() == "kept by the host\n"

    def test_balloon(self):
        """256 of its 512 MiB are the host's."""
        def free():
            return int(self.machine.console.check("grep MemFree /proc/meminfo").split()[1]) // 1024
        wait.until(lambda: free() < 230, "the guest to have less memory", 20)

    def test_other_clients_of_qmp(self):
        with socket.socket(socket.AF_UNIX) as qmp:
            qmp.settimeout(10)
            qmp.connect(f"{self.directory}/state/qmp.sock")
            assert b"QMP" in qmp.recv(4096)

    def test_power_off(self):
        self.power_off()
        left = [name for name in os.listdir(f"{self.directory}/state")
                if name.endswith(".sock") or name.startswith("guest.")]
        assert not left, left
