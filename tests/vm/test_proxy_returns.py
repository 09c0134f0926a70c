# SPDX-License-Identifier: Apache-2.0
"""A netproxy that ends and is started again, on stream links: one that a machine has to itself, and one that it shares.
A QEMU that connects again by itself (9.2 and later) keeps the guest's device as it is; with an older one it is plugged
in anew, and needs an address again."""

import os
import re
import signal
import subprocess

from bed import proxy, wait

from harness import group
from managed import NAME, Managed

RECONNECTS_FROM = (9, 2)


@group
class Proxyreturns(Managed):
    def __init__(self, settings, environment, directory):
        super().__init__(settings, environment, directory)
        self.net = f"{directory}/net.sock"
        self.proxy = proxy.Proxy(f"{settings.bin}/netproxy", self.host, directory, environment.resolv_conf, False)
        said = subprocess.run(["qemu-system-x86_64", "-version"], capture_output=True, text=True, check=True).stdout
        version = re.search(r"version (\d+)\.(\d+)", said)
        self.reconnects = (int(version[1]), int(version[2])) >= RECONNECTS_FROM

    def tear_down(self):
        super().tear_down()
        self.proxy.kill()

    def wait_for_return(self, count):
        wait.until(lambda: self.events().count("network-back") == count, "the network to be back", 60)

    def check_network(self):
        if not self.reconnects:
            self.guest("ip link set eth0 up; udhcpc -i eth0 -n -q -s /etc/udhcpc.script")
        wait.until(lambda: "192.168.65.1" in self.guest("nslookup -type=a gateway.internal"), "names to be answered", 30)

    def test_its_own(self):
        self.init("-net-device", "stream")
        self.vm("start", NAME)
        for count in (1, 2):
            os.kill(self.pid("netproxy.pid"), signal.SIGKILL)
            self.wait_for_return(count)
            self.check_network()
        self.vm("kill", NAME)
        self.vm("rm", NAME)

    def test_shared(self):
        links = ("--link", f"qemu:{self.net}")
        self.proxy.start(*links)
        self.init("-networking", f"userspace,{self.net}")
        self.vm("start", NAME)
        for count in (1, 2):
            self.proxy.kill()
            wait.until(lambda: self.events().count("network-lost") == count, "the machine to see that", 30)
            self.proxy.start(*links)
            self.wait_for_return(count)
            self.check_network()
        self.vm("kill", NAME)
        self.proxy.finish()
