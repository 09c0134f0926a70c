# SPDX-License-Identifier: Apache-2.0
"""Router advertisements, with the kernel and rdisc6 as their readers."""

import json
import socket

from bed import wait
from bed.cases import MAIN, STREAM, case
from bed.guest import IFNAME
from bed.proxy import GATEWAY6, PREFIX6

SLAAC = "fd65:6e70:7879:0:5054:ff:fe00:6502"  # of the first guest's MAC
ROUTER = "fe80::5894:efff:fee4:cdd"  # of the gateway's MAC


def addresses(guest):
    """The guest's IPv6 addresses that are ready for use, with their scopes."""
    found = json.loads(guest.ns.ip("-6", "-j", "addr", "show", "dev", IFNAME, "-tentative"))
    return {info["local"]: info["scope"] for link in found for info in link.get("addr_info", ())
            if "local" in info}  # ip leaves holes where it leaves something out


def default_routes(guest):
    return json.loads(guest.ns.ip("-6", "-j", "route", "show", "default", "dev", IFNAME))


def await_link_local(guest):
    """Duplicate address detection takes a second."""
    wait.until(lambda: "link" in addresses(guest).values(), "a link-local address")


def rdisc6(guest, check=True):
    """What a router solicitation is answered with, as text."""
    await_link_local(guest)
    return guest.ns.run("rdisc6", "-1", "-r", "2", "-w", "2000", IFNAME, check=check,
                        timeout=20 * wait.slowness).stdout


def flags(text):
    """Managed, other, on link, autonomous: as rdisc6 writes them."""
    names = ("Stateful address conf.", "Stateful other conf.", "On-link", "Autonomous address conf.")
    lines = [line.split(":") for line in text.splitlines()]
    found = {line[0].strip(): line[1].strip() for line in lines if len(line) == 2}
    return [found[name] for name in names]


@case(links=MAIN, dhcp=False)
def test_slaac(t):
    """The kernel makes itself an address, and has a route and an MTU, without any client."""
    wait.until(lambda: SLAAC in addresses(t.guest), "an address of the prefix")
    wait.until(lambda: default_routes(t.guest), "a default route")
    route, = default_routes(t.guest)
    assert (route["gateway"], route["protocol"]) == (ROUTER, "ra"), route
    prefix, = [one for one in json.loads(t.guest.ns.ip("-6", "-j", "route", "show", "dev", IFNAME))
               if one["dst"] == PREFIX6]
    assert prefix["protocol"] == "kernel", prefix
    assert t.guest.ping(GATEWAY6)


@case(links=MAIN, dhcp=False)
def test_rdisc6(t):
    text = rdisc6(t.guest)
    assert flags(text) == ["Yes", "Yes", "Yes", "Yes"], text
    for line in ("Hop limit                 :           64", "Router lifetime           :         1800",
                 f"Prefix                   : {PREFIX6}", "MTU                      :         1500",
                 "Source link-layer address: 5A:94:EF:E4:0C:DD",
                 f"Recursive DNS server     : {GATEWAY6}", f"from {ROUTER}"):
        assert line in text, f"no \"{line}\" in:\n{text}"
    assert "vm.internal" in text and "corp.test" in text, text


@case(links=STREAM, dhcp=False, args=["--ipv6-addresses", "slaac"])
def test_slaac_only(t):
    assert flags(rdisc6(t.guest)) == ["No", "Yes", "Yes", "Yes"]
    wait.until(lambda: SLAAC in addresses(t.guest), "an address of the prefix")


@case(links=STREAM, dhcp=False, args=["--no-dhcp"])
def test_no_dhcp(t):
    assert flags(rdisc6(t.guest)) == ["No", "No", "Yes", "Yes"]


@case(links=STREAM, dhcp=False, args=["--ipv6-addresses", "dhcp"])
def test_dhcp_only(t):
    assert flags(rdisc6(t.guest)) == ["Yes", "Yes", "Yes", "No"]
    assert default_routes(t.guest)
    assert set(addresses(t.guest).values()) == {"link"}, addresses(t.guest)


@case(links=STREAM, dhcp=False, args=["--ipv6-addresses", "none", "--prefix6", "fd12:3456:789a:bcde::/64",
                                      "--mtu", "9000"])
def test_router_only(t):
    text = rdisc6(t.guest)
    assert flags(text) == ["No", "No", "Yes", "No"], text
    assert "fd12:3456:789a:bcde::/64" in text and ":         9000" in text, text


@case(links=STREAM, dhcp=False, args=["--prefix6", "none"])
def test_no_ipv6(t):
    assert "Prefix" not in rdisc6(t.guest, check=False)
    assert not default_routes(t.guest)


@case(links=STREAM, dhcp=False, guests=2)
def test_later_guest(t):
    """A guest that is attached again hears of us at once, and its neighbour keeps what it has."""
    wait.until(lambda: all(default_routes(one) for one in t.guests), "default routes")
    t.guest.detach()
    t.guest.attach()
    wait.until(lambda: default_routes(t.guest), "a default route")
    wait.until(lambda: SLAAC in addresses(t.guest), "an address of the prefix")
    assert default_routes(t.guests[1])


@case(links=MAIN, dhcp=False)
def test_end(t):
    """When netproxy ends its route goes too, so that a guest with another way out takes that."""
    wait.until(lambda: default_routes(t.guest), "a default route")
    with t.guest.ns:
        sock = t.keep(socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
    sock.settimeout(10 * wait.slowness)
    t.proxy.finish()
    while True:
        message = sock.recv(2048)
        if message[0] == 134 and message[6:8] == b"\0\0":
            break
    t.proxy.process = None  # it has ended, as it should
