# SPDX-License-Identifier: Apache-2.0
"""Test cases: how a test says what it needs, and what it gets.

    @case(links=MAIN)
    def test_thing(t):
        ...

A test runs once for every kind of link that it names, each time with a netproxy, namespaces and guests of its own.
`t` is a Bed.
"""

import contextlib
import os
import shutil

from . import guest, netns, proxy, traffic, wait

MAIN = ("tap", "stream", "vhost")
# By what the guest's driver accepts: nothing; what needs no large or mergeable buffers; all but the ring's own tricks.
VHOST = ("vhost", "vhost-none", "vhost-csum+tso+event_idx+indirect",
         "vhost-csum+tso+guest_csum+guest_tso", "vhost-guest_csum+guest_tso+mrg_rxbuf+indirect")
ALL = ("tap", "stream", "stream-tcp", "stream-offload", *VHOST)
STREAM = ("stream",)
# What VMMs other than QEMU's stream client, and the kernel's tap, speak.
TRANSPORTS = ("qemu-listen", "dgram", "dgram-remote", "vfkit", "krun", "bess", "vpnkit")

MIB = 1024 * 1024
CASE_TIMEOUT = 60

registry = []


class Skip(Exception):
    """The test can't run here, for the reason given."""


class Case:
    def __init__(self, function, name, link, options):
        self.function = function
        self.name = name
        self.link = link
        self.options = options
        self.timeout = options.get("timeout", CASE_TIMEOUT)


def case(links=(None,), **options):
    """Registers a test. `guests`: how many (1). `args`: further arguments of netproxy. `start=False`: the test
    starts netproxy itself. `dhcp=False`: guests are attached, but have no address yet. `attach=False`: not even that.
    `timeout`: seconds."""
    def register(function):
        module = function.__module__.removeprefix("test_")
        base = f"{module}.{function.__name__.removeprefix('test_')}"
        for link in links:
            name = f"{base}[{link}]" if link else base
            registry.append(Case(function, name, link, options))
        return function
    return register


class Bed:
    """What a test works with: namespaces `world` and `host`, `proxy`, `guest` (the first of `guests`)."""

    def __init__(self, settings, environment, one_case, directory):
        self.settings = settings
        self.environment = environment
        self.world = environment.world
        self.host = environment.host
        self.case = one_case
        self.directory = directory
        self.guests = []
        self.cleanup = contextlib.ExitStack()
        os.makedirs(directory)
        self.proxy = self.new_proxy()

    def new_proxy(self, name="proxy"):
        directory = f"{self.directory}/{name}"
        os.makedirs(directory)
        made = proxy.Proxy(f"{self.settings.bin}/netproxy", self.host, directory,
                           self.environment.resolv_conf, self.settings.sanitized)
        self.cleanup.callback(made.kill)
        return made

    @property
    def guest(self):
        return self.guests[0]

    def add_guest(self, link):
        """A guest that isn't attached yet; pass its link_argument() to netproxy."""
        made = guest.Guest(len(self.guests), link, self.directory,
                           self.settings.bin, self.host)
        self.guests.append(made)
        return made

    def set_up(self):
        options = self.case.options
        kinds = options.get("kinds") or [self.case.link] * options.get("guests", 1)
        for kind in kinds:
            if kind:
                self.add_guest(kind)
        if options.get("start", True):
            self.start(*options.get("args", ()))

    def start(self, *args):
        """Starts netproxy with the guests' links, and attaches the guests as the case says."""
        links = [part for one in self.guests for part in ("--link", one.link_argument())]
        self.proxy.start(*(links or self.proxy.idle_link()), *args)
        if self.case.options.get("attach", True):
            for one in self.guests:
                one.attach()
                if self.case.options.get("dhcp", True):
                    one.dhcp()

    def size(self, full):
        """A transfer's size, scaled for slow builds; whole MiB."""
        return max(int(full * self.settings.scale) // MIB, 1) * MIB

    def serve(self, server):
        """Keeps a server running until the test ends."""
        return self.cleanup.enter_context(server)

    def keep(self, *sockets):
        """Closes the sockets when the test ends."""
        for sock in sockets:
            self.cleanup.callback(sock.close)
        return sockets[0] if len(sockets) == 1 else sockets

    def pair(self, address=None, server=None, bind="0.0.0.0"):
        """A TCP connection from the guest to a new listener in the world; (guest's end, far end)."""
        from . import world
        return self.keep(*traffic.pair(self.guest.ns, server or self.world, address or world.ADDRESS,
                                       bind))

    def settled_fds(self):
        """netproxy's number of fds once it stays the same."""
        return wait.until_still(self.proxy.fd_count, 0.3, what="netproxy's number of fds to settle")

    def expect_fds(self, count, timeout=10):
        """Waits until netproxy has no more fds than that."""
        wait.until(lambda: self.proxy.fd_count() <= count,
                   f"netproxy back at {count} fds (it has {self.proxy.fd_count()})", timeout)

    def rss_bound_kib(self, bound_mib):
        """A bound on memory growth; sanitizers multiply allocations."""
        return bound_mib * 1024 * (4 if self.settings.sanitized else 1)

    def finish(self):
        """The end that every test has: netproxy must still be there and end cleanly."""
        self.proxy.finish()

    def diagnostics(self):
        parts = [self.proxy.diagnostics()]
        for one in self.guests:
            try:
                parts.append(one.diagnostics())
            except Exception as error:  # a diagnosis must not hide the failure
                parts.append(f"guest {one.number}: {error!r}")
        return "\n".join(parts)

    def remove(self):
        self.cleanup.close()
        for one in self.guests:
            one.remove()
        if not self.settings.keep:
            shutil.rmtree(self.directory, ignore_errors=True)


__all__ = ["ALL", "MAIN", "STREAM", "VHOST", "MIB", "Bed", "Case", "Skip", "case", "netns", "registry"]
