# SPDX-License-Identifier: Apache-2.0
"""The image that "netproxy-vm image build" makes, with the command loop of mkguest's guest and socat, for its vsock."""

import os
import re
import shutil
import subprocess

import harness

CMDLINE = "console=ttyS0 quiet np.run=commands"
PROGRAMS = ("/usr/bin/socat",)


def _copy(path, to, at=None):
    at = at or path
    os.makedirs(to + os.path.dirname(at), exist_ok=True)
    shutil.copy(path, to + at)


def copy_program(path, to, at=None):
    """A program with the libraries that it needs, below `to`, to the same places as here; the program itself to `at`."""
    _copy(path, to, at)
    libraries = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    for library in re.findall(r"(?:=> |^\t)(/\S+)", libraries, re.M):
        _copy(library, to)


def build(settings, directory):
    """Makes it once; returns the name under which netproxy-vm knows it."""
    name = f"{os.path.dirname(directory)}/image/np"
    if os.path.exists(f"{name}-cmdline"):
        return name
    add = f"{os.path.dirname(name)}/add"
    os.makedirs(f"{add}/etc")
    shutil.copy(f"{harness.HERE}/guest/commands", f"{add}/etc")
    for program in PROGRAMS:
        copy_program(program, add)
    subprocess.run([f"{harness.ROOT}/launcher/image/build-image", "--bin", settings.bin, "--cache",
                    settings.guest, "--add", add, "--cmdline", CMDLINE, name], check=True,
                   stderr=subprocess.PIPE)
    return name
