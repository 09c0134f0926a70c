# SPDX-License-Identifier: Apache-2.0
"""Network namespaces.

`with namespace:` moves the calling thread in, so that sockets made and processes started there belong to it;
a socket stays in its namespace wherever it is used later.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

PREFIX = "npe2e"
CLONE_NEWNET = 0x40000000
CONNECT_TIMEOUT = 10

_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Namespace:
    def __init__(self, role):
        self.name = f"{PREFIX}-{os.getpid()}-{role}"
        self.path = f"/run/netns/{self.name}"
        self._entered = threading.local()
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self.ip("link", "set", "lo", "up")

    def __enter__(self):
        stack = self._entered.__dict__.setdefault("stack", [])
        stack.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        _setns(self._fd)
        return self

    def __exit__(self, *_):
        fd = self._entered.stack.pop()
        _setns(fd)
        os.close(fd)

    def run(self, *argv, check=True, timeout=30, **kwargs):
        """Runs a command in the namespace and returns its CompletedProcess, output as text."""
        with self:
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=timeout, **kwargs)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(argv)}: exit status {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def ip(self, *argv, check=True):
        return self.run("ip", *argv, check=check).stdout

    def sysctl(self, **values):
        """Sets sysctls below net, given with __ for dots: ipv4__ip_forward=1."""
        with self:
            for name, value in values.items():
                with open("/proc/sys/net/" + name.replace("__", "/"), "w") as file:
                    file.write(str(value))

    def socket(self, kind=socket.SOCK_STREAM, family=socket.AF_INET):
        with self:
            sock = socket.socket(family, kind)
        sock.settimeout(CONNECT_TIMEOUT)
        return sock

    def listen(self, address="0.0.0.0", port=0, backlog=4096):
        """A TCP listener; its port by getsockname()."""
        sock = self.socket(family=_family(address))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(backlog)
        return sock

    def udp(self, address="0.0.0.0", port=0):
        sock = self.socket(socket.SOCK_DGRAM, _family(address))
        sock.bind((address, port))
        return sock

    def connect(self, address, port, source=None):
        sock = self.socket(family=_family(address))
        try:
            if source:
                sock.bind((source, 0))
            sock.connect((address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def remove(self):
        os.close(self._fd)
        _remove(self.name)


def _remove(name):
    pids = subprocess.run(["ip", "netns", "pids", name], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True).stdout.split()
    for pid in pids:
        if int(pid) != os.getpid():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
    subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
    shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)


def resolv_conf(namespace, text):
    """Gives the namespace an /etc/resolv.conf, seen by what `ip netns exec` starts."""
    directory = f"/etc/netns/{namespace.name}"
    os.makedirs(directory, exist_ok=True)
    with open(f"{directory}/resolv.conf", "w") as file:
        file.write(text)


def owner_alive(name):
    """Whether the run that made a thing called PREFIX-PID-... still goes on; None for other names."""
    match = re.fullmatch(rf"{PREFIX}-(\d+)-.*", name)
    return os.path.exists(f"/proc/{match[1]}") if match else None


def remove_stale():
    """Removes the namespaces that killed runs left behind."""
    try:
        names = os.listdir("/run/netns")
    except FileNotFoundError:
        return
    for name in names:
        if owner_alive(name) is False:
            _remove(name)
