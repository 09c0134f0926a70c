# SPDX-License-Identifier: Apache-2.0
"""A guest on a vhost-user link: QEMU and Linux's driver, through everything that makes them take the rings back."""

import hashlib
import os
import threading

from bed import proxy, wait

import machine
from harness import group

SIZE = 8 << 20
# Bits of the features that the driver accepted, as sysfs shows them.
CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, INDIRECT, EVENT_IDX = 0, 1, 7, 11, 15, 28, 29


class Server:
    """Accepts once on the host's loopback; sends `data`, or takes what comes."""

    def __init__(self, namespace, data=None):
        self.received = b""
        self._data = data
        self._listener = namespace.listen("127.0.0.1")
        self._listener.settimeout(30)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        client, _ = self._listener.accept()
        self._listener.close()
        with client:
            if self._data is not None:
                client.sendall(self._data)
                return
            pieces = []
            while piece := client.recv(1 << 16):
                pieces.append(piece)
            self.received = b"".join(pieces)

    def finish(self):
        self._thread.join(30)
        assert not self._thread.is_alive(), "the server is still busy"


@group
class Vhost(machine.OnNetproxy):
    """The tests run in this order, on the same netproxy."""

    def boot(self, name):
        self.machine = machine.qemu(self.settings, self.directory, self.host, self.net_socket,
                                    self.vsock_socket, name, vhost=True)
        address = self.machine.boot()
        assert address == proxy.FIRST_GUEST, address

    def exchange(self):
        """Some MiB each way, compared."""
        console = self.machine.console
        data = os.urandom(SIZE)
        server = Server(self.host, data)
        output = console.check(f"nc {proxy.ALIAS} {server.port} < /dev/null | md5sum")
        assert output.split()[0] == hashlib.md5(data).hexdigest(), output
        server.finish()
        server = Server(self.host)
        output = console.check(f"head -c {SIZE} /dev/urandom > /tmp/up; md5sum /tmp/up; "
                               f"nc {proxy.ALIAS} {server.port} < /tmp/up > /dev/null")
        server.finish()
        assert output.split()[0] == hashlib.md5(server.received).hexdigest(), len(server.received)

    def log_count(self, text):
        return self.proxy.log().count(text)

    def test_boot_and_exchange(self):
        self.proxy.start("--link", f"vhost:{self.net_socket}",
                         "--vsock", f"{self.vsock_socket},cid=3")
        self.boot("vm1")
        self.exchange()

    def test_offloads_are_accepted(self):
        bits = self.machine.console.check("cat /sys/class/net/eth0/device/features").strip()
        for bit in (CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, INDIRECT, EVENT_IDX):
            assert bits[bit] == "1", f"feature {bit} is off: {bits}"

    def test_driver_reload(self):
        self.machine.console.check(
            "rmmod virtio_net && modprobe virtio_net && ip link set eth0 up && "
            "udhcpc -i eth0 -t 20 -T 1 -n -q -s /etc/udhcpc.script > /dev/null 2>&1")
        self.exchange()
        assert self.log_count("attached (vhost)") == 1, "the link outlives its driver"

    def test_reboot(self):
        self.machine.console.start("reboot -f")
        self.machine.console.wait_for("(guest: ready for commands.*){2}", machine.BOOT_TIMEOUT)
        self.exchange()

    def test_killed_and_started_again(self):
        self.machine.kill()
        wait.until(lambda: self.log_count("closed by the VMM"), "netproxy to see that QEMU has gone")
        self.boot("vm2")
        self.exchange()

    def test_netproxy_ends_first(self):
        """QEMU survives that, and netproxy ends cleanly with the guest's rings in use."""
        self.proxy.finish()
        assert self.machine.running(), self.machine.stderr()
