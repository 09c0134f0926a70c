# SPDX-License-Identifier: Apache-2.0
"""DHCP with real clients."""

import os
import shutil
import signal

from bed import clients, process, wait, world
from bed.cases import MAIN, STREAM, Skip, case
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


DHCLIENT_CONFIG = """request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers,
    domain-search, host-name, interface-mtu;
"""
# Every option that guests can ask for by name; 121 is unknown to dhclient.
DHCLIENT_ALL = """option classless-routes code 121 = array of unsigned integer 8;
send host-name "guest";
send fqdn.fqdn "guest";
send fqdn.encoded on;
send fqdn.server-update on;
request subnet-mask, routers, domain-name-servers, host-name, domain-name, interface-mtu,
    broadcast-address, ntp-servers, dhcp-lease-time, dhcp-server-identifier, dhcp-renewal-time,
    dhcp-rebinding-time, fqdn.fqdn, domain-search, classless-routes, time-offset;
"""


def dhclient(t, *options, config=DHCLIENT_CONFIG):
    base = f"{t.directory}/dhclient"
    with open(f"{base}.conf", "w") as file:
        file.write(config)
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


@case(links=MAIN, dhcp=False, args=["--ntp", "192.168.65.254", "--dhcp-route", "10.20.0.0/16=192.168.65.9",
                                    "--lease-time", "3600", "--mtu", "1400", "--dhcp-option", "2=3600"])
def test_dhclient_sees_every_option(t):
    lease = dhclient(t, config=DHCLIENT_ALL)
    expected = {
        "subnet_mask": "255.255.255.0", "routers": GATEWAY, "domain_name_servers": GATEWAY,
        "host_name": "guest", "domain_name": "vm.internal", "interface_mtu": "1400",
        "broadcast_address": "192.168.65.255", "ntp_servers": "192.168.65.254",
        "dhcp_lease_time": "3600", "dhcp_server_identifier": GATEWAY, "dhcp_renewal_time": "1800",
        "dhcp_rebinding_time": "3150", "fqdn_fqdn": "guest.vm.internal",
        "domain_search": "vm.internal. corp.test.", "time_offset": "3600",
        "classless_routes": "16 10 20 192 168 65 9 0 192 168 65 1",
    }
    got = {name: lease.get(f"new_{name}") for name in expected}
    assert got == expected, f"{got}\nall: {lease}"


@case(links=STREAM, dhcp=False)
def test_dhcpcd(t):
    """With rapid commit; and it keeps its address under another identifier."""
    if not shutil.which("dhcpcd"):
        raise Skip("dhcpcd isn't installed")
    wanted = ("option domain_name_servers, domain_name, domain_search, host_name, interface_mtu, "
              "classless_static_routes, broadcast_address\nnoipv6rs\nnoarp\n")
    lease = clients.dhcpcd(t.guest, t.directory, f"{wanted}clientid\noption rapid_commit\nhostname guest",
                           "-4")
    assert lease["reason"] == "BOUND" and lease["new_ip_address"] == FIRST_GUEST, lease
    assert "new_rapid_commit" in lease, lease
    assert lease["new_domain_search"] == "vm.internal corp.test" and lease["new_host_name"] == "guest", lease
    assert lease["new_dhcp_renewal_time"] == "1800", lease
    assert t.guest.ping(world.ADDRESS)
    assert t.proxy.leases() == {FIRST_GUEST: t.guest.mac}
    t.guest.ns.ip("addr", "flush", "dev", IFNAME)
    lease = clients.dhcpcd(t.guest, t.directory, f"{wanted}duid", "-4")  # as a system with an identity of its own
    assert lease["new_ip_address"] == FIRST_GUEST, lease


@case(links=STREAM, dhcp=False, args=["--dhcp-route", "10.20.0.0/16=192.168.65.9", "--ntp", "192.168.65.254"])
def test_networkd(t):
    """systemd-networkd: a DUID for identifier, classless routes, and a release at the end."""
    if not os.path.exists(clients.NETWORKD):
        raise Skip("systemd-networkd isn't installed")
    networkd = clients.Networkd(t.guest, t.directory, "[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n"
                                "[DHCPv4]\nUseMTU=yes\nUseDomains=yes\nHostname=guest\n")
    lease = networkd.lease()
    assert lease["ADDRESS"] == FIRST_GUEST and lease["ROUTER"] == GATEWAY, lease
    assert lease["MTU"] == "1500" and lease["NTP"] == "192.168.65.254", lease
    assert lease["DOMAINNAME"] == "vm.internal" and "corp.test" in lease["DOMAIN_SEARCH_LIST"], lease
    networkd.wait_configured()
    routes = t.guest.ns.ip("route")
    assert f"default via {GATEWAY}" in routes and "10.20.0.0/16 via 192.168.65.9" in routes, routes
    assert t.guest.ping(world.ADDRESS)
    networkd.stop()
    wait.until(lambda: t.proxy.leases() == {}, "the released lease to go")


@case(links=STREAM, dhcp=False)
def test_udhcpc_renews(t):
    """A client that stays renews and, when it is asked to, releases its lease."""
    one = process.Process(["udhcpc", "-f", "-t", "5", "-T", "1", "-i", IFNAME, "-s", t.guest.lease_script()],
                          f"{t.directory}/udhcpc.log", t.guest.ns, env=t.guest.lease_environment())
    wait.until(lambda: os.path.exists(t.guest.lease_file), "a lease")
    assert t.proxy.leases() == {FIRST_GUEST: t.guest.mac}
    one.send_signal(signal.SIGUSR1)
    wait.until(lambda: "renewed for" in t.proxy.log(), "the lease to be renewed")
    one.send_signal(signal.SIGUSR2)
    wait.until(lambda: t.proxy.leases() == {}, "the released lease to go")
    one.kill()
