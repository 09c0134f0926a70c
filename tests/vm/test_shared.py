# SPDX-License-Identifier: Apache-2.0
"""Machines on one netproxy that they share (-networking userspace,SOCKET): successive addresses, each other's
neighbours, and fixed addresses, which are nobody else's while their machine runs."""

import os
import subprocess

from bed import netns, proxy, wait, world

import machine
from harness import group
from managed import NAME, Managed

FIXED = "192.168.65.50"
PORT = 8080
REFUSED = 1
REFUSAL_TIMEOUT = 10


@group
class Shared:
    def __init__(self, settings, environment, directory):
        self.settings = settings
        self.host = environment.host
        self.directory = directory
        netns.resolv_conf(self.host, f"nameserver {world.ADDRESS}\n")
        self.proxy = proxy.Proxy(f"{settings.bin}/netproxy", self.host, directory, environment.resolv_conf, False)
        self.net = f"{directory}/net.sock"
        self.managed = Managed(settings, environment, directory)
        self.machines = {}
        self.addresses = {}

    def diagnostics(self):
        return "\n".join([self.proxy.diagnostics(), self.managed.diagnostics(),
                          *(one.diagnostics() for one in self.machines.values())])

    def tear_down(self):
        self.managed.tear_down()
        for one in self.machines.values():
            one.kill()
        self.proxy.kill()

    def flags(self, *args):
        return ["-networking", f"userspace,{self.net}", *args]

    def argv(self, name, *args):
        guest = self.settings.guest
        return ["ip", "netns", "exec", self.host.name, f"{self.settings.bin}/netproxy-vm", "run",
                "-kernel", f"{guest}/vmlinuz", "-initrd", f"{guest}/initrd.img", "-cmdline", machine.CMDLINE,
                "-mem", "256", "-accel", "tcg", "-state", f"{self.directory}/{name}", *self.flags(*args)]

    def launch(self, name, *args):
        self.machines[name] = machine.Machine(self.argv(name, *args), self.directory, self.host, name)

    def refused(self, argv, *words):
        """That it ends at once, with one line which says why, and has started nothing."""
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=REFUSAL_TIMEOUT)
        assert done.returncode == REFUSED and not done.stdout, done
        assert done.stderr.count("\n") == 1, done.stderr
        for word in ("netproxy-vm: -ip ", *words):
            assert word in done.stderr, (word, done.stderr)

    def statics(self):
        return {one["address"]: one["mac"] for one in self.proxy.get("/v1/leases/static")}

    def check(self, name, command):
        return self.machines[name].console.check(command)

    def test_successive_addresses(self):
        self.proxy.start("--link", f"qemu:{self.net}")
        self.launch("one")
        self.launch("two")
        self.launch("fixed", "-ip", FIXED)
        self.addresses = {name: one.boot() for name, one in self.machines.items()}
        assert sorted([self.addresses["one"], self.addresses["two"]]) == ["192.168.65.2", "192.168.65.3"], \
            self.addresses
        assert self.addresses["fixed"] == FIXED, self.addresses
        assert list(self.proxy.leases()) and set(self.proxy.leases()) == set(self.addresses.values())

    def test_they_reach_each_other(self):
        for name, other in (("one", "two"), ("two", "fixed"), ("fixed", "one")):
            self.check(name, f"echo {name} > /tmp/page; httpd -p {PORT} -h /tmp")
            self.check(name, f"ping -c 1 -W 10 {self.addresses[other]}")
        for name, other in (("one", "two"), ("two", "one"), ("fixed", "two"), ("one", "fixed")):
            page = self.check(name, f"wget -q -O - http://{self.addresses[other]}:{PORT}/page")
            assert page == f"{other}\n", (name, other, page)
        self.check("one", "nslookup -type=a gateway.internal")

    def test_clash(self):
        """With an address that a guest has leased, one that is another's, and such as can't be."""
        disk = f"{self.directory}/never"
        extra = ("-disk", f"{disk},size=10M,format=qcow2")
        mac = self.proxy.leases()[self.addresses["one"]]
        self.refused(self.argv("x", "-ip", self.addresses["one"], *extra), "is leased to", mac, "netproxyctl leases")
        self.refused(self.argv("x", "-ip", FIXED, *extra), "is the static lease of", self.statics()[FIXED])
        self.refused(self.argv("x", "-ip", "192.168.65.1"), "gateway")
        self.refused(self.argv("x", "-ip", "10.0.0.1"), "192.168.65.0/24")
        self.refused(self.argv("x", "-ip", FIXED, "-mac", self.statics()[FIXED]), "the same MAC")
        # In the background it is no different.
        self.refused(self.argv("x", "-ip", self.addresses["two"], "-detached"), "is leased to")
        assert not os.path.exists(disk)
        assert set(self.statics()) == {FIXED} and len(self.proxy.leases()) == 3
        left = [entry for entry in os.listdir(f"{self.directory}/x") if entry.endswith((".sock", ".pid"))]
        assert not left, left

    def test_kept_machine(self):
        """The same for machines that are kept; and an address is free when its machine was killed."""
        self.managed.init(*self.flags("-ip", FIXED))
        status, said = self.managed.vm("start", NAME, check=False)
        assert status == 1 and f"-ip {FIXED}: " in said and "is the static lease of" in said, said
        assert self.managed.state() in ("stopped", "crashed"), self.managed.state()
        self.machines["fixed"].kill()
        wait.until(lambda: not self.statics() and FIXED not in self.proxy.leases(), "the address to be free")
        self.managed.vm("start", NAME)
        assert FIXED in self.managed.guest("ip -o -4 addr show dev eth0")
        assert self.proxy.leases()[FIXED] == self.statics()[FIXED]
        # The others learn from its question that the address has moved.
        assert " 0% packet loss" in self.managed.guest(f"ping -c 1 -W 10 {self.addresses['one']}")
        self.managed.vm("stop", NAME)
        wait.until(lambda: not self.statics() and FIXED not in self.proxy.leases(), "the address to be free again")

    def test_end(self):
        for name in ("one", "two"):
            assert self.machines[name].terminate() == 0, self.machines[name].stderr()
        self.proxy.finish()
