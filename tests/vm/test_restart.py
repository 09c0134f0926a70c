# SPDX-License-Identifier: Apache-2.0
"""QEMU is killed and started again on the same netproxy, which must take it each time and keep nothing."""

from bed import proxy, wait

import machine
from harness import group

KILLS = 10
# The first boots fill pools that are kept; from this one on memory must not grow by more than that.
SETTLED_AFTER = 3
GROWTH_KIB = 1024


@group
class Restart(machine.OnNetproxy):
    def __init__(self, settings, environment, directory):
        super().__init__(settings, environment, directory)
        self.connections = []

    def tear_down(self):
        for sock in self.connections:
            sock.close()
        super().tear_down()

    def boot(self, number):
        self.machine = machine.qemu(self.settings, self.directory, self.host, self.net_socket,
                                    self.vsock_socket, f"vm{number}")
        address = self.machine.boot()
        assert address == "192.168.65.2", f"boot {number}: {address}"

    def use(self, listener):
        """Uses the network and vsock, and leaves a connection open that the guest will not end."""
        console = self.machine.console
        console.check("echo '{\"cniVersion\":\"1.1.0\",\"name\":\"x\",\"type\":\"netproxy-cni\"}' | "
                      "CNI_COMMAND=STATUS CNI_PATH=/opt/cni/bin /opt/cni/bin/netproxy-cni")
        console.check("nslookup -type=a host.internal")
        port = listener.getsockname()[1]
        console.check(f"(sleep 1000 | nc {proxy.ALIAS} {port}) > /dev/null 2>&1 &")
        sock, _ = listener.accept()
        self.connections.append(sock)

    def hang_up(self):
        """The far ends close: what they say goes to a guest that knows nothing of it, and answers so."""
        for sock in self.connections:
            sock.close()
        self.connections.clear()

    def test_ten_kills(self):
        self.proxy.start("--link", f"qemu:{self.net_socket}",
                         "--vsock", f"{self.vsock_socket},cid=3")
        fds, rss = [], []
        with self.host.listen("127.0.0.1") as listener:
            for number in range(1, KILLS + 2):
                self.boot(number)
                self.hang_up()
                wait.until(lambda: not fds or self.proxy.fd_count() <= fds[0],
                           f"netproxy back at its fds after boot {number}", 30)
                fds.append(wait.until_still(self.proxy.fd_count, 0.3))
                rss.append(self.proxy.rss_kib())
                self.use(listener)
                self.machine.kill()
            self.hang_up()
        print(f"     fds after each boot: {fds}; RSS in KiB: {rss}")
        assert max(fds) == fds[0], f"fds after each boot: {fds}"
        assert rss[-1] - rss[SETTLED_AFTER - 1] <= GROWTH_KIB, f"RSS in KiB after each boot: {rss}"
        self.proxy.finish()
