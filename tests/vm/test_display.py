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

    def test_mode(self):
        self.init("-uefi", "-display", "1920x1080@96")
        self.vm("start", NAME)
        size = self.guest("cat /sys/class/graphics/fb0/virtual_size").strip()
        assert size == "1920,1080", f"the guest's framebuffer is {size}"

    def test_screenshot(self):
        before = read_png(self.picture("before.png"))
        assert before[:2] == (1920, 1080), before[:2]
        self.guest("for i in 1 2 3; do echo 'Drawn by the guest' > /dev/tty1; done")
        wait.until(lambda: read_png(self.picture("after.png"))[2] != before[2], "the picture to change", 20)
        assert len(set(read_png(self.picture("after.png"))[2])) > 2, "it is all of one colour"
        with open(self.picture("screen.ppm"), "rb") as file:
            assert file.read(17) == b"P6\n1920 1080\n255\n"

    def test_refused(self):
        for name, words in (("screen.jpg", ".png or .ppm"), ("no/screen.png", "No such file")):
            status, said = self.vm("screenshot", NAME, f"{self.directory}/{name}", check=False)
            assert status == 1 and words in said and said.count("\n") == 1, said
        assert [name for name in os.listdir(self.directory) if name.startswith("screen.")] == ["screen.ppm"]
