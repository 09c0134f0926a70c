# SPDX-License-Identifier: Apache-2.0
"""A screen: its mode is the guest's framebuffer's, and a picture of it shows what the guest draws."""

import os
import struct
import zlib

from bed import wait

from harness import group
from managed import NAME, Managed


def read_png(path):
    """(width, height, the pixels' bytes still filtered) of a picture as QEMU writes it."""
    with open(path, "rb") as file:
        data = file.read()
    assert data.startswith(b"\x89PNG\r\n\x1a\n"), data[:8]
    at, pixels = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height = struct.unpack(">II", data[at + 8:at + 16])
        elif kind == b"IDAT":
            pixels += data[at + 8:at + 8 + size]
        at += 12 + size
    return width, height, zlib.decompress(pixels)


@group
class Display(Managed):
    """The cloud kernel draws on UEFI's framebuffer only."""

    def picture(self, name):
        path = f"{self.directory}/{name}"
        self.vm("screenshot", NAME, path)
        return path

    def check(self, width, height):
        size = self.guest("cat /sys/class/graphics/fb0/virtual_size").strip()
        assert size == f"{width},{height}", f"the guest's framebuffer is {size}"
        before = read_png(self.picture("before.png"))
        assert before[:2] == (width, height), before[:2]
        self.guest("for i in 1 2 3; do echo 'Drawn by the guest' > /dev/tty1; done")
        wait.until(lambda: read_png(self.picture("after.png"))[2] != before[2], "the picture to change", 20)
        pixels = read_png(self.picture("after.png"))[2]
        assert len(set(pixels)) > 2, "it is all of one colour"

    def test_720p(self):
        self.init("-uefi", "-display", "1280x720")
        self.vm("start", NAME)
        self.check(1280, 720)
        with open(self.picture("screen.ppm"), "rb") as file:
            assert file.read(16).startswith(b"P6\n1280 720\n255\n")
        status, said = self.vm("screenshot", NAME, f"{self.directory}/screen.jpg", check=False)
        assert status == 1 and ".png or .ppm" in said, said
        status, said = self.vm("screenshot", NAME, f"{self.directory}/no/screen.png", check=False)
        assert status == 1 and "No such file" in said, said
        assert not [name for name in os.listdir(self.directory) if name.startswith("screen.") and name != "screen.ppm"]

    def test_1080p_with_density(self):
        self.vm("kill", NAME)
        self.vm("set", NAME, "-display", "1920x1080@96")
        self.vm("start", NAME)
        self.check(1920, 1080)
