# SPDX-License-Identifier: Apache-2.0
"""What is measured: the host's loopback, netproxy on each kind of link, and the peers.

Every subject gives a network namespace where the client runs, and an address by which that client reaches the
server, which always listens on the host namespace's loopback: with netproxy, slirp4netns and gvproxy by their alias of
the host, with passt and pasta by the gateway, which they map to it.
"""

import os
import shutil
import time

from bed import guest, process, proxy, wait
from bed.world import ADDRESS as GATEWAY_OF_HOST
from bed.world import HOST_ADDRESS


START_TIMEOUT = 10
TCP_PORTS = (7777, 5201)  # of benchtool's server, and of iperf3's
IFNAME = guest.IFNAME
LOADER = "usr/lib/x86_64-linux-gnu"


class Subject:
    """`link` is "none", "tap", "stream" or "vhost"; `family` is "host", "netproxy" or the peer's name."""

    link = "none"
    mtu = None
    target = "127.0.0.1"
    target6 = None
    port_offset = 0  # the server's ports are reached at these plus this
    carries_udp = True

    def __init__(self, family, link=None, mtu=None):
        self.family = family
        self.link = link or self.link
        self.mtu = mtu
        self.name = "-".join(str(part) for part in (family, link, mtu) if part)
        self.number = 0  # of its guest, when several run
        self.guest = None
        self.process = None

    def twin(self):
        """Another one like this to run beside it, not started; None where that isn't possible."""
        return None

    def missing(self, settings):
        """Why it can't be measured here, and what helps; None when it can."""
        return None

    def start(self, settings, environment, directory):
        self.guest = None
        self.process = None
        self.began = None  # when the process was started
        self.environment = environment
        self.host = environment.host
        self.directory = directory

    def begin(self, settings, environment, directory):
        """Starts it and has its client ready; returns how long the process took to be, in seconds; None without one."""
        os.makedirs(directory)
        self.start(settings, environment, directory)
        took = time.monotonic() - self.began if self.process else None
        if self.process:
            self.attach()
        if self.client is not environment.host:
            self.client.sysctl(ipv4__ip_local_port_range="1024 65535")
        return took

    def stop(self):
        if self.process:
            self.process.kill()
        if self.guest:
            self.guest.remove()

    @property
    def client(self):
        """The namespace of the client."""
        return self.guest.ns

    def configure6(self):
        """Has the client reach target6."""

    def is_peer(self):
        return self.family not in ("host", "relay", "netproxy")

    def pid(self):
        return self.process.pid if self.process else None

    def make_guest(self, settings):
        kind = "stream-offload" if self.link == "stream" else self.link
        self.guest = guest.Guest(self.number, kind, self.directory, settings.bin, self.host)
        # Nobody routes it yet, and what a kernel says about it by itself isn't an idle network.
        self.guest.ns.sysctl(ipv6__conf__default__disable_ipv6=1)

    def set_guest_address(self, address, gateway):
        self.guest.ns.ip("addr", "add", address, "dev", IFNAME)
        self.guest.ns.ip("route", "add", "default", "via", gateway)

    def set_mtu(self):
        self.guest.ns.ip("link", "set", "dev", IFNAME, "mtu", str(self.mtu))

    def run_process(self, argv):
        self.began = time.monotonic()
        self.process = process.Process(argv, f"{self.directory}/{self.family}.log", self.host)

    def await_started(self, condition):
        def started():
            if not self.process.running():
                raise AssertionError(f"{self.family} ended: {self.process.output().strip()}")
            return condition()
        wait.until(started, f"{self.family} to be ready", START_TIMEOUT, interval=0.001)

    def has_interface(self):
        return "inet " in self.guest.ns.ip("addr", "show", "dev", IFNAME, check=False)


class Loopback(Subject):
    target6 = "::1"

    def __init__(self):
        super().__init__("host")
        self.name = "host-loopback"

    @property
    def client(self):
        return self.host


class Relay(Subject):
    """A program that passes connections on from socket to socket, with the client on the host's loopback, too: what a
    proxy can be expected to do on this machine, if it had no frames to deal with."""

    port_offset = 1000
    carries_udp = False

    def __init__(self):
        super().__init__("relay")

    @property
    def client(self):
        return self.host

    def start(self, settings, environment, directory):
        super().start(settings, environment, directory)
        self.run_process([f"{settings.bin}/benchtool", "relay", self.target, str(self.port_offset),
                          *map(str, TCP_PORTS)])
        self.await_started(lambda: "ready" in self.process.output())

    def attach(self):
        pass


class _QuietProxy(proxy.Proxy):
    """netproxy as users run it: without a log of every connection."""

    def arguments(self):
        return ["--api", f"unix:{self.api}", "--log-level", "warn", "--log-file", self.log_file,
                "--pid-file", self.pid_file, "--resolv-conf", self.resolv_conf]


class Netproxy(Subject):
    target = proxy.ALIAS
    target6 = proxy.ALIAS6

    def __init__(self, link, mtu, number=0):
        super().__init__("netproxy", link, mtu)
        self.number = number

    def twin(self):
        return Netproxy(self.link, self.mtu, self.number + 1)

    def missing(self, settings):
        bridge = {"stream": "tapbridge", "vhost": "vhostbridge"}.get(self.link)
        for name in ("netproxy", bridge):
            if name and not os.access(f"{settings.bin}/{name}", os.X_OK):
                return f"{settings.bin}/{name} isn't there: run scripts/build"
        return None

    def start(self, settings, environment, directory):
        super().start(settings, environment, directory)
        self.make_guest(settings)
        self.proxy = _QuietProxy(f"{settings.bin}/netproxy", self.host, directory,
                                 environment.resolv_conf, False)
        self.began = time.monotonic()
        self.proxy.start("--link", self.guest.link_argument(), "--mtu", str(self.mtu),
                         *settings.netproxy_arguments)
        self.process = self.proxy.process

    def attach(self):
        self.guest.attach()
        self.set_mtu()
        self.guest.dhcp()

    def configure6(self):
        self.guest.ns.sysctl(**{f"ipv6__conf__{IFNAME}__disable_ipv6": 0})
        self.guest.configure6()


class Passt(Subject):
    """passt on a unix socket in QEMU's framing. (Debian 13's can be a vhost-user back-end too, but leaves TCP checksums
    undone and marks them as valid, which a driver believes and the tap of vhostbridge doesn't.)"""

    target = GATEWAY_OF_HOST

    def missing(self, settings):
        return _missing_command(settings, self.family)

    def start(self, settings, environment, directory):
        super().start(settings, environment, directory)
        self.make_guest(settings)
        self.run_process([*_command(settings, self.family), "-f", "-q", "-4", "-m", str(self.mtu), "-s",
                          self.guest.socket, "--runas", "0", "-P", f"{directory}/pid"])
        # That is the last thing that it writes before it serves; the file is there earlier.
        self.await_started(lambda: _size(f"{directory}/pid") > 0)

    def attach(self):
        self.guest.attach()
        self.set_mtu()
        self.set_guest_address(f"{HOST_ADDRESS}/24", GATEWAY_OF_HOST)


class Pasta(Subject):
    target = GATEWAY_OF_HOST

    def missing(self, settings):
        return _missing_command(settings, self.family)

    def start(self, settings, environment, directory):
        super().start(settings, environment, directory)
        self.make_guest(settings)
        self.run_process([*_command(settings, self.family), "-f", "-q", "-4", "-m", str(self.mtu),
                          "--config-net", "-I", IFNAME, "--runas", "0", "--netns",
                          self.guest.ns.path, "-t", "none", "-u", "none", "-T", "none", "-U", "none"])
        self.await_started(self.has_interface)

    def attach(self):
        pass


class Slirp4netns(Subject):
    target = "10.0.2.2"

    def missing(self, settings):
        return _missing_command(settings, self.family)

    def start(self, settings, environment, directory):
        super().start(settings, environment, directory)
        self.make_guest(settings)
        self.run_process(["slirp4netns", "-c", "-m", str(self.mtu), "--netns-type=path",
                          self.guest.ns.path, IFNAME])
        self.await_started(self.has_interface)

    def attach(self):
        pass


class Gvproxy(Subject):
    target = "192.168.127.254"

    def missing(self, settings):
        return _missing_command(settings, self.family)

    def start(self, settings, environment, directory):
        super().start(settings, environment, directory)
        self.make_guest(settings)
        self.run_process([*_command(settings, self.family), "-mtu", str(self.mtu), "-listen-qemu",
                          f"unix://{self.guest.socket}"])
        self.await_started(lambda: os.path.exists(self.guest.socket))

    def attach(self):
        self.guest.attach()
        self.set_mtu()
        self.set_guest_address("192.168.127.2/24", "192.168.127.1")


def _size(path):
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _command(settings, family):
    """How a peer is started; [] when it isn't there. passt13 and pasta13 are those of Debian 13, which need that
    release's C library."""
    peers = settings.peers
    if family in ("passt13", "pasta13"):
        program = f"{peers}/usr/bin/{family.removesuffix('13')}"
        library = f"{peers}/{LOADER}"
        # Started by its loader, it can't find this variant by itself.
        if _has_avx2():
            program += ".avx2"
        if not os.path.exists(program):
            return []
        return [f"{library}/ld-linux-x86-64.so.2", "--library-path", library, "--argv0",
                family.removesuffix("13"), program]
    if family == "gvproxy" and os.path.exists(f"{peers}/usr/bin/gvproxy"):
        return [f"{peers}/usr/bin/gvproxy"]
    found = shutil.which(family)
    return [found] if found else []


def _has_avx2():
    with open("/proc/cpuinfo") as file:
        return " avx2 " in file.read()


def _missing_command(settings, family):
    if _command(settings, family):
        return None
    if family in ("passt", "pasta", "slirp4netns"):
        return "it isn't installed: run scripts/deps bench"
    return "it isn't there: run bench/fetch-peers"


def all_subjects():
    return [
        Loopback(), Relay(),
        *(Netproxy(link, mtu) for link in ("tap", "vhost", "stream") for mtu in (1500, 65520)),
        Pasta("pasta", "tap", 1500), Pasta("pasta", "tap", 65520),
        Pasta("pasta13", "tap", 1500), Pasta("pasta13", "tap", 65520),
        Slirp4netns("slirp4netns", "tap", 1500), Slirp4netns("slirp4netns", "tap", 65520),
        Passt("passt", "stream", 1500), Passt("passt", "stream", 65520),
        Passt("passt13", "stream", 1500), Passt("passt13", "stream", 65520),
        Gvproxy("gvproxy", "stream", 1500), Gvproxy("gvproxy", "stream", 65520),
    ]


__all__ = ["Subject", "TCP_PORTS", "all_subjects"]
