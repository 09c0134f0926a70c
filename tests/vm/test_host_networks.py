# SPDX-License-Identifier: Apache-2.0
"""-networking bridged:IF and tap:IF, in a network namespace of the test's: the guest gets an address from the DHCP server
on that interface, and reaches it."""

import subprocess

from bed import netns, wait

from harness import group
import machine

BRIDGE = "np-br0"
TAP = "np-tap0"
GATEWAY = "10.77.0.1"
BRIDGE_CONF = "/etc/qemu/bridge.conf"


@group
class HostNetworks:
    def __init__(self, settings, environment, directory):
        self.settings = settings
        self.directory = directory
        self.net = netns.Namespace("lan")
        self.machine = self.dhcp = None
        self.net.ip("link", "add", BRIDGE, "type", "bridge")
        self.net.ip("addr", "add", f"{GATEWAY}/24", "dev", BRIDGE)
        self.net.ip("link", "set", BRIDGE, "up")
        self.net.ip("tuntap", "add", TAP, "mode", "tap")
        self.net.ip("link", "set", TAP, "master", BRIDGE, "up")
        with self.net:
            self.dhcp = subprocess.Popen(
                ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--group=root",
                 f"--interface={BRIDGE}", "--bind-interfaces", "--dhcp-range=10.77.0.50,10.77.0.60,1h", "--no-resolv",
                 "--no-hosts", "--address=/gateway.test/" + GATEWAY, f"--dhcp-leasefile={directory}/leases", "--pid-file="],
                stderr=subprocess.DEVNULL)

    def diagnostics(self):
        return self.machine.diagnostics() if self.machine else "no machine"

    def tear_down(self):
        if self.machine:
            self.machine.kill()
        self.dhcp.kill()
        self.dhcp.wait()
        self.net.remove()

    def launch(self, network, allow=None):
        """netproxy-vm in the namespace, in a mount namespace with what /etc/qemu/bridge.conf is to say."""
        script = "exec \"$@\""
        if allow is not None:
            with open(f"{self.directory}/bridge.conf", "w", encoding="ascii") as file:
                file.write(allow)
            # There may be no such directory on this host.
            script = (f"mkdir -p {self.directory}/etc {self.directory}/overlay && mount -t tmpfs none {self.directory}/overlay && "
                      f"mkdir {self.directory}/overlay/u {self.directory}/overlay/w && mount -t overlay none /etc "
                      f"-o lowerdir=/etc,upperdir={self.directory}/overlay/u,workdir={self.directory}/overlay/w && "
                      f"mkdir -p /etc/qemu && cp {self.directory}/bridge.conf {BRIDGE_CONF} && " + script)
        argv = ["ip", "netns", "exec", self.net.name, "unshare", "--mount", "sh", "-c", script, "sh",
                f"{self.settings.bin}/netproxy-vm", "run",
                "-kernel", f"{self.settings.guest}/vmlinuz", "-initrd", f"{self.settings.guest}/initrd.img",
                "-cmdline", machine.CMDLINE, "-mem", "256", "-accel", "tcg", "-networking", network]
        self.machine = machine.Machine(argv, self.directory, self.net, network.split(":")[0])

    def check_refused(self, words):
        status = self.machine.popen.wait(20)
        said = self.machine.stderr()
        assert status == 1 and words in said, (status, said)

    def check_guest(self):
        address = self.machine.boot()
        assert address.startswith("10.77.0."), address
        self.machine.console.check(f"ping -c 1 -W 5 {GATEWAY}")
        assert GATEWAY in self.machine.console.check("nslookup -type=a gateway.test")
        # And the other way.
        self.net.run("ping", "-c", "1", "-W", "5", address)
        status = self.machine.terminate()
        assert status == 0, f"netproxy-vm ended with status {status}\n{self.machine.stderr()}"

    def test_refused(self):
        for network, allow, words in (("tap:nosuch", None, "no tap interface of that name"),
                                      (f"tap:{BRIDGE}", None, "no tap interface of that name"),
                                      ("bridged:nosuch", None, "no bridge of that name"),
                                      (f"bridged:{TAP}", None, "no bridge of that name"),
                                      (f"bridged:{BRIDGE}", "allow other\n", f'add the line "allow {BRIDGE}"')):
            self.launch(network, allow)
            self.check_refused(words)

    def test_tap(self):
        self.launch(f"tap:{TAP}")
        self.check_guest()
        assert TAP in self.net.ip("-o", "link", "show", "master", BRIDGE), "it is there for the next run"

    def test_bridged(self):
        self.launch(f"bridged:{BRIDGE}", f"allow {BRIDGE}\n")
        self.check_guest()
        wait.until(lambda: self.net.ip("-o", "link", "show", "master", BRIDGE).count("\n") == 1,
                   "the helper's tap to go with QEMU")
