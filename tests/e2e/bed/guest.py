# SPDX-License-Identifier: Apache-2.0
"""A guest: a network namespace, whose kernel is attached to netproxy by one kind of link."""

import os

from . import netns, process, proxy, wait

IFNAME = "eth0"
ADDRESS6 = "fd65:6e70:7879::2:%x"
IMPAIRMENT = "5,5,10"  # of a thousand frames: lost, doubled, out of order

# What a DHCP client calls: sets the address and route up, and writes down what it was given.
_LEASE_SCRIPT = """#!/bin/sh
set -eu
case "${1:-${reason:-}}" in
bound|renew)
    ip addr flush dev "$interface" scope global
    ip addr add "$ip/$mask" dev "$interface"
    [ -z "${router:-}" ] || ip route replace default via "${router%% *}" dev "$interface"
    env >"$LEASE_FILE.new"
    ;;
BOUND|RENEW|REBIND|REBOOT)
    ip addr flush dev "$interface" scope global
    ip addr add "$new_ip_address/$new_subnet_mask" dev "$interface"
    [ -z "${new_routers:-}" ] || ip route replace default via "${new_routers%% *}" dev "$interface"
    env >"$LEASE_FILE.new"
    ;;
PREINIT)
    ip link set dev "$interface" up
    exit 0
    ;;
*)
    exit 0
    ;;
esac
mv "$LEASE_FILE.new" "$LEASE_FILE"
"""


# Kinds that framebridge plays: its arguments and netproxy's --link. {socket} and {own} are paths.
_FRAMED = {
    "qemu-listen": (["--listen", "{socket}"], "qemu:connect:{socket}"),
    "dgram": (["--dgram", "{socket},{own}"], "dgram:{socket}"),
    "dgram-remote": (["--dgram", "{socket},{own}"], "dgram:{socket},remote={own}"),
    "vfkit": (["--vfkit", "{socket},{own}"], "vfkit:{socket}"),
    "krun": (["--offload", "--vfkit", "{socket},{own}"], "vfkit:{socket}"),
    "bess": (["--bess", "{socket}"], "bess:{socket}"),
    "vpnkit": (["--vpnkit", "{socket},{uuid}"], "vpnkit:{socket}"),
    "vpnkit-ip": (["--vpnkit", "{socket},{uuid},192.168.65.77"], "vpnkit:{socket}"),
}


class Guest:
    """`link` is the kind of link: "tap", "stream", "stream-tcp", "stream-offload", "stream-lossy", "vhost", or
    "vhost-" and the features that the guest's driver accepts; or one of those that framebridge plays."""

    def __init__(self, number, link, directory, bin, host):
        self.number = number
        self.link = link
        self.directory = directory
        self.host = host
        self.ns = netns.Namespace(f"guest{number}")
        self.mac = f"52:54:00:00:65:{number + 2:02x}"
        self.socket = f"{directory}/link{number}.sock"
        self.tcp_port = 7700 + number
        self.lease_file = f"{directory}/lease{number}"
        self.address = None
        self.bridge = None
        self.failed_ping = None
        self._bin = bin
        self._bridge_count = 0

    def is_vhost(self):
        return self.link.startswith("vhost")

    def _framed(self, text):
        return text.format(socket=self.socket, own=f"{self.socket}.own",
                           uuid=f"1b671a64-40d5-491e-99b0-da01ff1f{self.number:04x}")

    def _bridge_arguments(self):
        if self.link in _FRAMED:
            return [f"{self._bin}/framebridge", "--tap", IFNAME, "--netns", self.ns.path,
                    *map(self._framed, _FRAMED[self.link][0])]
        where = (f"tcp:127.0.0.1:{self.tcp_port}" if self.link == "stream-tcp"
                 else f"unix:{self.socket}")
        argv = [f"{self._bin}/{'vhostbridge' if self.is_vhost() else 'tapbridge'}",
                "--tap", IFNAME, "--netns", self.ns.path, "--connect", where]
        if self.link == "stream-offload":
            argv.append("--offload")
        if self.link == "stream-lossy":
            argv += ["--impair", IMPAIRMENT]
        if self.link.startswith("vhost-"):
            argv += ["--features", self.link.removeprefix("vhost-").replace("+", ",")]
        return argv

    def link_argument(self):
        """netproxy's --link for this guest."""
        if self.link in _FRAMED:
            return self._framed(_FRAMED[self.link][1])
        if self.link == "tap":
            return f"tap:{IFNAME},netns={self.ns.path}"
        if self.link == "stream-tcp":
            return f"qemu:tcp:127.0.0.1:{self.tcp_port}"
        if self.is_vhost():
            return f"vhost:{self.socket}"
        return f"qemu:{self.socket}"

    def attach(self):
        """Connects the link, as starting a VM does, and brings the interface up."""
        if self.link != "tap":
            self._bridge_count += 1
            log = f"{self.directory}/bridge{self.number}.{self._bridge_count}.log"
            self.bridge = process.Process(self._bridge_arguments(), log, self.host)
            self.bridge.wait_output("ready\n")
            if self.link.startswith("vpnkit"):
                self.mac = self.bridge.output().split()[1]
        self.ns.ip("link", "set", "dev", IFNAME, "address", self.mac)
        self.ns.ip("link", "set", "dev", IFNAME, "up")

    def detach(self):
        """Ends the bridge as a killed QEMU ends; the tap goes with it."""
        if self.bridge:
            self.bridge.kill()
            self.bridge = None
            wait.until(lambda: IFNAME not in self.ns.ip("-o", "link"), "the guest's tap to go")
        self.address = None

    def dhcp(self, *options, timeout=10):
        """Gets a lease with udhcpc; returns what it was given, as the script's variables."""
        self._remove_lease()
        self.ns.run("udhcpc", "-f", "-q", "-n", "-t", "5", "-T", "1", "-i", IFNAME,
                    "-s", self.lease_script(), *options, timeout=timeout * wait.slowness,
                    env=self.lease_environment())
        lease = self.lease()
        self.address = lease["ip"]
        return lease

    def lease_environment(self):
        return {"PATH": os.environ["PATH"], "LEASE_FILE": self.lease_file}

    def lease_script(self):
        path = f"{self.directory}/lease-script"
        if not os.path.exists(path):
            with open(path, "w") as file:
                file.write(_LEASE_SCRIPT)
            os.chmod(path, 0o755)
        return path

    def _remove_lease(self):
        try:
            os.unlink(self.lease_file)
        except FileNotFoundError:
            pass

    def lease(self):
        """The variables of the last lease, or AssertionError."""
        try:
            with open(self.lease_file) as file:
                return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        except FileNotFoundError:
            raise AssertionError("the DHCP client did not call its script with a lease") from None

    def configure6(self, answered=True):
        """Gives the guest an address, and a default route by the gateway's; nothing is learned from others."""
        address = ADDRESS6 % (self.number + 1)
        self.ns.sysctl(ipv6__conf__eth0__accept_ra=0)
        self.ns.ip("-6", "route", "flush", "proto", "ra")
        self.ns.ip("-6", "addr", "add", f"{address}/64", "dev", IFNAME, "nodad")
        self.ns.ip("-6", "route", "replace", "default", "via", proxy.GATEWAY6, "dev", IFNAME,
                   "metric", "1")
        if answered:  # the guest's kernel takes a moment to have its link's IPv6 ready
            wait.until(lambda: self.ping(proxy.GATEWAY6, deadline=1), "the gateway to answer")
        return address

    def ping(self, address, *options, count=1, deadline=5):
        """Whether `count` echoes all came back, with the sizes and contents that they were sent with."""
        done = self.ns.run("ping", "-n", "-c", str(count), "-i", "0.05", "-W",
                           str(int(2 * wait.slowness)), "-w", str(int(deadline * wait.slowness)),
                           *options, address, check=False, timeout=30 * wait.slowness)
        if "wrong data byte" in done.stdout:
            raise AssertionError(f"ping got other data than it sent:\n{done.stdout}")
        if f" {count} received" in done.stdout:
            return True
        self.failed_ping = " ".join((address, *options)) + ": " + done.stdout.strip() + done.stderr.strip()
        return False

    def remove(self):
        if self.bridge:
            self.bridge.kill()
        self.ns.remove()

    def diagnostics(self):
        lines = [f"guest {self.number} ({self.link}), address {self.address}:",
                 self.ns.run("ip", "-s", "addr", check=False).stdout.rstrip(),
                 self.ns.run("ss", "-anti", check=False).stdout.rstrip()[-4000:]]
        if self.failed_ping:
            lines.append(f"its last ping that failed: {self.failed_ping}")
        if self.bridge:
            self.bridge.stop()
            lines.append(f"bridge: {self.bridge.output().strip()}")
        return "\n".join(lines)
