# SPDX-License-Identifier: Apache-2.0
"""A netproxy that is killed while its guest exchanges data, and started again: one that a machine has to itself, on a
vhost-user link, and one that it shares, on a stream. The guest keeps its device and its address, whatever QEMU it is:
one connects again by itself, or (a stream, before 9.2) netproxy-vm exchanges what is behind the device."""

import os
import signal
import time

from bed import proxy, wait

from harness import group
from managed import NAME, Managed

PORT = 8080
PUBLISHED = 18080
TIMES = 2
# QEMU before 9.2 connects again after 1 s, or another, where netproxy wasn't back by then.
BACK_WITHIN = 15
# What the guest may see of its device: the interface's number, how often its link went down, and its address.
SEEN = "cat /sys/class/net/eth0/ifindex /sys/class/net/eth0/carrier_changes; ip -o -4 addr show dev eth0"


@group
class Proxyreturns(Managed):
    def __init__(self, settings, environment, directory):
        super().__init__(settings, environment, directory)
        self.net = f"{directory}/net.sock"
        self.proxy = proxy.Proxy(f"{settings.bin}/netproxy", self.host, directory, environment.resolv_conf, False)

    def tear_down(self):
        super().tear_down()
        self.proxy.kill()

    def talk(self, listener):
        """Two connections from the guest: one whose bytes are read, for ever, and one that nobody reads, so that frames of
        it are held in the guest's ring while others pass."""
        self.guest("rm -f /tmp/end.*; for i in 1 2; do (cat /dev/zero | "
                   f"nc {proxy.ALIAS} {listener.getsockname()[1]} > /dev/null; echo $? > /tmp/end.$i) > /dev/null 2>&1 & "
                   "done")
        clients = [listener.accept()[0] for _ in range(2)]
        got, deadline = 0, time.monotonic() + 10
        while got < 1 << 20 and time.monotonic() < deadline:
            got += len(clients[0].recv(1 << 16))
        assert got >= 1 << 20, got
        self.resolve()
        return clients

    def resolve(self):
        return "192.168.65.1" in self.guest("nslookup -type=a gateway.internal")

    def check_loss(self, lose, count):
        """Kills netproxy by `lose` while the guest talks; the guest has a network again without doing anything."""
        before = self.guest(SEEN)
        assert "192.168.65." in before, before
        with self.host.listen("127.0.0.1") as listener:
            listener.settimeout(10)
            clients = self.talk(listener)
            lose()
            start = time.monotonic()
            wait.until(lambda: self.events().count("network-back") == count, "the network to be back", BACK_WITHIN)
            print(f"     the network was back after {time.monotonic() - start:.1f} s")
            wait.until(self.resolve, "names to be answered", BACK_WITHIN)
            # Those that netproxy doesn't know any more have ended, with an error.
            wait.until(lambda: self.guest("cat /tmp/end.* 2> /dev/null").split() == ["1", "1"],
                       "the old connections to end", BACK_WITHIN)
            for client in clients:
                client.close()
        after = self.guest(SEEN)
        assert after == before, (before, after)

    def page(self):
        with self.host.connect("127.0.0.1", PUBLISHED) as sock:
            sock.settimeout(10)
            sock.sendall(b"GET /page HTTP/1.0\r\n\r\n")
            text = b""
            while piece := sock.recv(4096):
                text += piece
        return b"here" in text

    def test_its_own(self):
        self.init()
        self.vm("start", NAME)
        self.guest(f"echo here > /tmp/page; httpd -p {PORT} -h /tmp")
        self.vm("port", "add", NAME, f"127.0.0.1:{PUBLISHED}:{PORT}")
        assert self.page()
        for count in range(1, TIMES + 1):
            self.check_loss(lambda: os.kill(self.pid("netproxy.pid"), signal.SIGKILL), count)
            assert self.page(), "the port that was published"
            wait.until(lambda: self.events().count("vsock-back") == count, "vsock to be back", 30)
        self.vm("kill", NAME)
        self.vm("rm", NAME)

    def test_shared(self):
        args = ("--link", f"qemu:{self.net}", "--state", f"{self.directory}/state.json")
        lost = [0]

        def lose():
            self.proxy.kill()
            lost[0] += 1
            wait.until(lambda: self.events().count("network-lost") == lost[0], "the machine to see that", 30)
            self.proxy.start(*args)

        self.proxy.start(*args)
        self.init("-networking", f"userspace,{self.net}")
        self.vm("start", NAME)
        for count in range(1, TIMES + 1):
            self.check_loss(lose, count)
        self.vm("kill", NAME)
        self.proxy.finish()
