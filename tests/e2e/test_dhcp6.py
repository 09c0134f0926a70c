# SPDX-License-Identifier: Apache-2.0
"""DHCPv6 with real clients, and the names that come of it."""

import ipaddress
import json
import os
import socket
import struct

from bed import process, wait, world
from bed.cases import MAIN, STREAM, case
from bed.guest import IFNAME
from bed.proxy import ALIAS6, FIRST_GUEST, GATEWAY, GATEWAY6
from test_ra import ROUTER, SLAAC, addresses, await_link_local, default_routes

FIRST_GUEST6 = "fd65:6e70:7879::2"
SEARCH = "vm.internal. corp.test."

# What DHCPv6 clients call: takes the address, and writes down what it was given.
SCRIPT = """#!/bin/sh
set -eu
case "${reason:-}" in
BOUND6|RENEW6|REBIND6|REBOOT6)
    address=${new_ip6_address:-${new_dhcp6_ia_na1_ia_addr1:-}}
    [ -z "$address" ] || ip -6 addr replace "$address/128" dev "$interface" nodad
    ;;
EXPIRE6|RELEASE6|STOP6)
    [ -z "${old_ip6_address:-}" ] || ip -6 addr del "$old_ip6_address/128" dev "$interface"
    ;;
BOUND|INFORM6) ;;
*) exit 0 ;;
esac
env >"$LEASE_FILE.$reason.new"
mv "$LEASE_FILE.$reason.new" "$LEASE_FILE.$reason"
"""


def script(t):
    path = f"{t.directory}/script6"
    with open(path, "w") as file:
        file.write(SCRIPT)
    os.chmod(path, 0o755)
    return path


def told(t, reason, timeout=10):
    """The variables that the client's script was called with."""
    path = f"{t.guest.lease_file}.{reason}"
    wait.until(lambda: os.path.exists(path), f"the client's {reason}", timeout)
    with open(path) as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)


def dhclient(t, *options, guest=None, name=None):
    """Runs dhclient until it has what it wants; it goes on in the background until the test ends."""
    guest = guest or t.guest
    await_link_local(guest)
    base = f"{t.directory}/dhclient6.{guest.number}"
    with open(f"{base}.conf", "w") as file:
        file.write("also request dhcp6.name-servers, dhcp6.domain-search, dhcp6.fqdn;\n"
                   "timeout 20;\n")
        if name:
            file.write(f'send fqdn.fqdn "{name}";\nsend fqdn.server-update on;\n')
    files = ["-cf", f"{base}.conf", "-lf", f"{base}.leases", "-pf", f"{base}.pid"]
    t.cleanup.callback(guest.ns.run, "dhclient", "-6", "-x", *files, "-sf", "/bin/true", IFNAME, check=False)
    guest.ns.run("dhclient", "-6", "-1", "-v", *files, "-sf", script(t),
                 "-e", f"LEASE_FILE={guest.lease_file}", *options, IFNAME,
                 timeout=30 * wait.slowness, env=guest.lease_environment())
    return files


def leases6(t):
    return {lease["address"]: lease for lease in t.proxy.get("/v1/leases")
            if ":" in lease["address"]}


def dig(t, *query, server=GATEWAY6):
    return t.guest.ns.run("dig", f"@{server}", "+short", "+tries=2", "+time=2", *query,
                          timeout=20 * wait.slowness).stdout.strip()


@case(links=MAIN)
def test_dhclient(t):
    """dhclient gets the namesake of its IPv4 address, and gives it back."""
    assert t.guest.address == "192.168.65.2"
    files = dhclient(t)
    lease = told(t, "BOUND6")
    assert lease["new_ip6_address"] == FIRST_GUEST6, lease
    assert lease["new_dhcp6_name_servers"] == GATEWAY6, lease
    assert lease["new_dhcp6_domain_search"] == SEARCH, lease
    assert (lease["new_max_life"], lease["new_renew"]) == ("3600", "1800"), lease
    assert leases6(t)[FIRST_GUEST6]["mac"] == t.guest.mac
    assert leases6(t)[FIRST_GUEST6]["hostname"] == "", leases6(t)
    assert FIRST_GUEST6 not in t.proxy.leases(), "an IPv6 lease in the list of IPv4 ones"
    assert t.guest.ping(GATEWAY6, "-I", FIRST_GUEST6)
    t.guest.ns.run("dhclient", "-6", "-r", *files, "-sf", "/bin/true", IFNAME, timeout=30 * wait.slowness)
    wait.until(lambda: not leases6(t), "the released lease to go")


@case(links=STREAM, dhcp=False)
def test_dhclient_stateless(t):
    dhclient(t, "-S")
    lease = told(t, "BOUND6" if os.path.exists(f"{t.guest.lease_file}.BOUND6") else "RENEW6")
    assert lease["new_dhcp6_name_servers"] == GATEWAY6, lease
    assert lease["new_dhcp6_domain_search"] == SEARCH, lease
    assert "new_ip6_address" not in lease, lease
    assert not leases6(t)


@case(links=STREAM, dhcp=False, guests=3)
def test_successive_addresses(t):
    """Without IPv4 leases, too, guests get the lowest addresses in the order of their coming."""
    for guest in t.guests:
        dhclient(t, guest=guest)
    assert {address: lease["mac"] for address, lease in leases6(t).items()} == \
        {f"fd65:6e70:7879::{n + 2}": guest.mac for n, guest in enumerate(t.guests)}
    # Guests reach each other by them.
    assert t.guests[0].ping("fd65:6e70:7879::4", "-I", FIRST_GUEST6)


@case(links=STREAM, dhcp=False, args=["--dhcp-host", "52:54:00:00:65:02=192.168.65.50"])
def test_static_address(t):
    """A static IPv4 address says what the IPv6 one is, too, even before it is asked for."""
    dhclient(t)
    assert told(t, "BOUND6")["new_ip6_address"] == "fd65:6e70:7879::32"


@case(links=STREAM)
def test_names(t):
    """A guest is found by name, forward and reverse, in both families; by DNS over IPv6."""
    t.guest.dhcp("-x", "hostname:web")
    dhclient(t)
    assert leases6(t)[FIRST_GUEST6]["hostname"] == "web", "it told its name in IPv4 only"
    assert dig(t, "web.vm.internal", "AAAA") == FIRST_GUEST6
    assert dig(t, "web.vm.internal", "A") == t.guest.address
    assert dig(t, "-x", FIRST_GUEST6) == "web.vm.internal."
    assert dig(t, "a.test", "A") == "10.77.0.2"
    assert dig(t, "+tcp", "a.test", "A") == "10.77.0.2"
    assert dig(t, "host.internal", "AAAA") == ALIAS6
    assert dig(t, "gateway.internal", "AAAA", server=GATEWAY) == GATEWAY6


@case(links=STREAM, dhcp=False, guests=2)
def test_names_of_dhcp6_alone(t):
    """A name told in DHCPv6 counts, but who has it in IPv4 has it."""
    dhclient(t, name="db")
    assert told(t, "BOUND6")["new_fqdn_fqdn"].rstrip(".") == "db.vm.internal"
    assert dig(t, "db.vm.internal", "AAAA") == FIRST_GUEST6
    assert dig(t, "db.vm.internal", "A") == ""
    assert dig(t, "-x", FIRST_GUEST6) == "db.vm.internal."
    t.guests[1].dhcp("-x", "hostname:db")
    assert dig(t, "db.vm.internal", "A") == t.guests[1].address
    assert dig(t, "db.vm.internal", "AAAA") == ""
    assert dig(t, "-x", FIRST_GUEST6) == ""


@case(links=MAIN, dhcp=False)
def test_dhcpcd(t):
    """dhcpcd, both families at once: IPv4, an address that it makes itself, and one of DHCPv6."""
    config = f"{t.directory}/dhcpcd.conf"
    with open(config, "w") as file:
        file.write(f"duid\nslaac hwaddr\nnoarp\nhostname box\noption rapid_commit\nscript {script(t)}\n"
                   f"env LEASE_FILE={t.guest.lease_file}\n"
                   "option domain_name_servers\noption domain_search\n"
                   "option dhcp6_name_servers\noption dhcp6_domain_search\n")
    # Its state is in fixed places; nothing else is to see it.
    command = ("mkdir -p /run/dhcpcd /var/lib/dhcpcd; mount -t tmpfs none /run/dhcpcd; "
               f"mount -t tmpfs none /var/lib/dhcpcd; exec dhcpcd -B -d -f {config} {IFNAME}")
    client = process.Process(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", command],
                             f"{t.directory}/dhcpcd.log", t.guest.ns)
    t.cleanup.callback(client.kill)
    lease = told(t, "BOUND6", 20)
    assert lease["new_dhcp6_ia_na1_ia_addr1"] == FIRST_GUEST6, lease
    assert lease["new_dhcp6_name_servers"] == GATEWAY6, lease
    assert lease["new_dhcp6_domain_search"] == "vm.internal corp.test", lease
    assert lease["new_dhcp6_fqdn"] == "box.vm.internal", lease
    assert told(t, "BOUND")["new_ip_address"] == FIRST_GUEST
    wait.until(lambda: {SLAAC, FIRST_GUEST6} <= set(addresses(t.guest)), "both addresses")
    assert [route["gateway"] for route in default_routes(t.guest)] == [ROUTER]
    assert leases6(t)[FIRST_GUEST6]["hostname"] == "box"
    assert t.guest.ping(GATEWAY6, "-I", FIRST_GUEST6) and t.guest.ping(GATEWAY6, "-I", SLAAC)
    assert t.guest.ping(world.ADDRESS6) and t.guest.ping(world.ADDRESS)
    assert dig(t, "-x", FIRST_GUEST6) == "box.vm.internal."


def ifindex(guest):
    return json.loads(guest.ns.ip("-j", "link", "show", "dev", IFNAME))[0]["ifindex"]


NETWORKD = "/lib/systemd/systemd-networkd"
NETWORK = f"""[Match]
Name={IFNAME}
[Network]
DHCP=yes
IPv6AcceptRA=yes
[IPv6AcceptRA]
UseDomains=yes
[DHCPv4]
UseDomains=yes
SendHostname=yes
Hostname=box
[DHCPv6]
UseDomains=yes
SendHostname=yes
Hostname=box
"""


@case(links=STREAM, dhcp=False)
def test_networkd(t):
    """systemd-networkd, both families at once; it believes the flags of the advertisement."""
    # Without a udev that would tell it of links, which it takes a read-only /sys for; its state is its own.
    command = ("mount -t sysfs -o ro none /sys; mount -t tmpfs none /run; "
               "cd /run; mkdir -p systemd/network systemd/netif/links systemd/netif/leases systemd/netif/lldp; "
               "chown -R systemd-network: /run/systemd/netif; "
               f"printf '%s' \"$NETWORK\" >/run/systemd/network/{IFNAME}.network; exec {NETWORKD}")
    client = process.Process(["unshare", "--mount", "sh", "-euc", command], f"{t.directory}/networkd.log",
                             t.guest.ns, env={"NETWORK": NETWORK, "SYSTEMD_LOG_LEVEL": "debug"})
    t.cleanup.callback(client.kill)
    state = f"/proc/{client.pid}/root/run/systemd/netif/links/{ifindex(t.guest)}"

    def configured():
        with open(state) as file:
            return "ADMIN_STATE=configured\n" in file.read()
    wait.until(lambda: {SLAAC, FIRST_GUEST6} <= set(addresses(t.guest)), "both addresses", 20)
    wait.until(configured, "networkd to be content")
    with open(state) as file:
        values = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    assert {GATEWAY, GATEWAY6} <= set(values["DNS"].split()), values
    assert {"vm.internal", "corp.test"} <= set(values["DOMAINS"].split()), values
    assert t.proxy.leases() == {FIRST_GUEST: t.guest.mac}
    assert leases6(t)[FIRST_GUEST6]["hostname"] == "box"
    assert t.guest.ping(world.ADDRESS6) and t.guest.ping(world.ADDRESS)
    assert dig(t, "box.vm.internal", "AAAA") == FIRST_GUEST6


@case(links=STREAM, dhcp=False, start=False)
def test_leases_survive_a_restart(t):
    """The list and the names are there again before any client asks for anything."""
    t.start("--state", f"{t.directory}/state")
    t.guest.dhcp("-x", "hostname:web")
    dhclient(t)
    before = {address: (lease["mac"], lease["hostname"]) for address, lease in leases6(t).items()}
    assert before.keys() == {FIRST_GUEST6}
    t.proxy.finish()
    t.guest.detach()
    t.proxy = t.new_proxy("proxy-again")
    t.start("--state", f"{t.directory}/state")
    assert {address: (lease["mac"], lease["hostname"]) for address, lease in leases6(t).items()} == before
    t.guest.dhcp()
    assert dig(t, "web.vm.internal", "AAAA", server=GATEWAY) == FIRST_GUEST6


# ---- A guest that means no good ----

def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff or 0xffff


def option(code, value):
    return struct.pack("!HH", code, len(value)) + value


def solicit(number, mac):
    """A frame with a Solicit that takes what it is offered, from a machine that doesn't exist."""
    source = ipaddress.IPv6Address(f"fe80::{number + 1:x}").packed
    group = ipaddress.IPv6Address("ff02::1:2").packed
    message = (bytes([1]) + number.to_bytes(3, "big") + option(1, b"\0\2\0\0\xab\x11" + struct.pack("!Q", number)) +
               option(3, struct.pack("!III", number, 0, 0)) + option(14, b""))
    size = 8 + len(message)
    head = struct.pack("!HHH", 546, 547, size)
    sum16 = checksum(source + group + struct.pack("!II", size, 17) + head + b"\0\0" + message)
    return (bytes.fromhex("333300010002") + mac + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, size, 17, 1) +
            source + group + head + struct.pack("!H", sum16) + message)


@case(links=STREAM, dhcp=False, guests=2, args=["--no-guard"])
def test_flood(t):
    """Thousands of machines that one guest invents get a few addresses, and its neighbour gets his."""
    rss = t.proxy.rss_kib()
    with t.guest.ns:
        sock = t.keep(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    sock.bind((IFNAME, 0))
    for number in range(5000):
        mac = bytes.fromhex("0255") + struct.pack("!I", number // 4)
        sock.send(solicit(number, mac))
    dhclient(t, guest=t.guests[1])
    leases = leases6(t)
    assert len(leases) <= 65, len(leases)
    assert len(leases) > 32, "the flood didn't arrive"
    assert [lease for lease in leases.values() if lease["mac"] == t.guests[1].mac], leases
    assert t.proxy.rss_kib() - rss < t.rss_bound_kib(16)
    assert len(t.proxy.log()) < 200_000
