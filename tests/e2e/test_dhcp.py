# SPDX-License-Identifier: Apache-2.0
"""DHCP with real clients."""

import os

from bed import wait, world
from bed.cases import MAIN, STREAM, case
from bed.guest import IFNAME
from bed.proxy import FIRST_GUEST, GATEWAY


@case(links=MAIN, dhcp=False)
def test_udhcpc(t):
    lease = t.guest.dhcp()
    assert lease["ip"] == FIRST_GUEST, lease
    assert lease["mask"] == "24", lease
    assert lease["router"] == GATEWAY, lease
    assert lease["dns"].split()[0] == GATEWAY, lease
    assert lease["serverid"] == GATEWAY, lease
    assert int(lease["lease"]) >= 60, lease
    assert t.guest.ping(GATEWAY)
    assert t.proxy.leases() == {FIRST_GUEST: t.guest.mac}
    assert t.proxy.get("/leases") == {FIRST_GUEST: t.guest.mac}


@case(links=MAIN, dhcp=False)
def test_udhcpc_options(t):
    """Options that clients ask for: MTU, search list, broadcast."""
    lease = t.guest.dhcp("-O", "mtu", "-O", "search", "-O", "domain", "-O", "broadcast")
    assert lease["mtu"] == "1500", lease
    assert "corp.test" in lease.get("search", ""), f"the host's search list isn't handed out: {lease}"


@case(links=MAIN, dhcp=False, args=["--subnet", "10.11.12.0/24"])
def test_other_subnet(t):
    lease = t.guest.dhcp()
    assert (lease["ip"], lease["router"]) == ("10.11.12.2", "10.11.12.1"), lease
    assert t.guest.ping("10.11.12.1")
    assert t.guest.ping("10.11.12.254")
    assert t.guest.ping(world.ADDRESS)


@case(links=STREAM, dhcp=False)
def test_same_guest_same_address(t):
    """The client that asks again, and again after a release, gets what it had."""
    first = t.guest.dhcp()["ip"]
    assert t.guest.dhcp()["ip"] == first
    t.guest.dhcp("-R")  # releases at the end
    assert t.guest.dhcp()["ip"] == first


@case(links=STREAM, dhcp=False)
def test_requested_address(t):
    """A free address in range is given to whoever asks for it; one out of range is not."""
    assert t.guest.dhcp("-r", "192.168.65.77")["ip"] == "192.168.65.77"
    t.guest.detach()
    t.guest.mac = "52:54:00:00:66:01"
    t.guest.attach()
    assert t.guest.dhcp("-r", "10.9.8.7")["ip"].startswith("192.168.65.")


@case(links=("stream",), dhcp=False, guests=3)
def test_successive_addresses(t):
    assert [one.dhcp()["ip"] for one in t.guests] == [f"192.168.65.{n}" for n in (2, 3, 4)]
    assert t.proxy.leases() == {one.address: one.mac for one in t.guests}


def dhclient(t, *options):
    base = f"{t.directory}/dhclient"
    with open(f"{base}.conf", "w") as file:
        file.write("request subnet-mask, broadcast-address, routers, domain-name, "
                   "domain-name-servers, domain-search, host-name, interface-mtu;\n")
    t.guest.ns.run("dhclient", "-4", "-1", "-v", "-cf", f"{base}.conf", "-lf", f"{base}.leases",
                   "-pf", f"{base}.pid", "-sf", t.guest.lease_script(),
                   "-e", f"LEASE_FILE={t.guest.lease_file}", *options, IFNAME,
                   timeout=30 * wait.slowness, env=t.guest.lease_environment())
    return t.guest.lease()


@case(links=MAIN, dhcp=False)
def test_dhclient(t):
    """dhclient gets a lease, comes back with it (INIT-REBOOT), and releases it."""
    lease = dhclient(t)
    assert lease["new_ip_address"] == FIRST_GUEST, lease
    assert lease["new_routers"] == GATEWAY, lease
    assert lease["new_domain_name_servers"].split()[0] == GATEWAY, lease
    assert lease["new_interface_mtu"] == "1500", lease
    assert t.guest.ping(world.ADDRESS)
    t.guest.ns.run("dhclient", "-x", "-pf", f"{t.directory}/dhclient.pid",
                   "-lf", f"{t.directory}/dhclient.leases", "-sf", "/bin/true", IFNAME)
    os.unlink(t.guest.lease_file)
    lease = dhclient(t)
    assert lease["reason"] == "REBOOT" and lease["new_ip_address"] == FIRST_GUEST, lease
    t.guest.ns.run("dhclient", "-r", "-pf", f"{t.directory}/dhclient.pid",
                   "-lf", f"{t.directory}/dhclient.leases", "-sf", "/bin/true", IFNAME)
    t.guest.ns.ip("link", "set", "dev", IFNAME, "up")
    wait.until(lambda: t.proxy.leases() == {}, "the released lease to go")


@case(links=STREAM, dhcp=False)
def test_dhclient_from_another_network(t):
    """A client that returns with an address of some other network is told so (NAK), and starts afresh."""
    with open(f"{t.directory}/dhclient.leases", "w") as file:
        file.write('lease {\n  interface "eth0";\n  fixed-address 10.5.5.5;\n'
                   '  option subnet-mask 255.255.255.0;\n  option dhcp-lease-time 86400;\n'
                   '  option dhcp-message-type 5;\n  option dhcp-server-identifier 10.5.5.1;\n'
                   '  renew 5 2030/01/04 00:00:00;\n  rebind 5 2030/01/04 00:00:00;\n'
                   '  expire 5 2030/01/04 00:00:00;\n}\n')
    lease = dhclient(t)
    assert (lease["reason"], lease["new_ip_address"]) == ("BOUND", FIRST_GUEST), lease
