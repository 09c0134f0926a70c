# SPDX-License-Identifier: Apache-2.0
"""Clients that guests really run to configure their network, and that keep files in fixed places: dhcpcd and
systemd-networkd. They get places of their own, in a mount namespace."""

import os

from . import process, wait
from .guest import IFNAME

NETWORKD = "/lib/systemd/systemd-networkd"

_DHCPCD_HOOK = """#!/bin/sh
[ "$reason" != PREINIT ] && [ "$reason" != CARRIER ] || exit 0
env >"{file}.new"
mv "{file}.new" "{file}"
"""
_DHCPCD_START = """set -e
mount -t tmpfs none /var/lib/dhcpcd
mkdir -p /run/dhcpcd
mount -t tmpfs none /run/dhcpcd
exec dhcpcd "$@"
"""
# With a /sys that can't be written to networkd doesn't wait for udev, which isn't there.
_NETWORKD_START = """set -e
mount -t tmpfs -o mode=755 none /run
mount -t sysfs -o ro none /sys
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network /run/systemd/netif
cp "$1" /run/systemd/network/10-guest.network
exec """ + NETWORKD + "\n"


def _variables(path):
    with open(path) as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)


def dhcpcd(guest, directory, config, *options):
    """Runs dhcpcd until it has a lease, which stays; returns its hook's variables."""
    base = f"{directory}/dhcpcd{guest.number}"
    with open(f"{base}.conf", "w") as file:
        file.write(f"{config}\nscript {base}.hook\n")
    with open(f"{base}.hook", "w") as file:
        file.write(_DHCPCD_HOOK.format(file=f"{base}.lease"))
    os.chmod(f"{base}.hook", 0o755)
    guest.ns.run("unshare", "-m", "sh", "-c", _DHCPCD_START, "sh", "-1", "-B", "-f", f"{base}.conf", *options,
                 IFNAME, timeout=30 * wait.slowness)
    return _variables(f"{base}.lease")


class Networkd:
    """systemd-networkd with one .network file, whose [Match] is the guest's interface."""

    def __init__(self, guest, directory, config):
        base = f"{directory}/networkd{guest.number}"
        with open(f"{base}.network", "w") as file:
            file.write(f"[Match]\nName={IFNAME}\n{config}\n")
        os.chmod(f"{base}.network", 0o644)
        self.guest = guest
        self.process = process.Process(["unshare", "-m", "sh", "-c", _NETWORKD_START, "sh", f"{base}.network"],
                                       f"{base}.log", guest.ns)

    def _state(self, kind):
        index = self.guest.ns.ip("-o", "link", "show", IFNAME).split(":")[0]
        try:
            return _variables(f"/proc/{self.process.pid}/root/run/systemd/netif/{kind}/{index}")
        except FileNotFoundError:
            return {}

    def lease(self):
        """The variables of its DHCPv4 lease, as it writes them down."""
        wait.until(lambda: self._state("leases").get("ADDRESS"), "systemd-networkd's lease", 20)
        return self._state("leases")

    def wait_configured(self):
        wait.until(lambda: self._state("links").get("ADMIN_STATE") == "configured",
                   "systemd-networkd to have configured the interface", 20)
        return self._state("links")

    def stop(self):
        """Ends it as a shutdown does: it gives its lease back."""
        self.process.stop()
