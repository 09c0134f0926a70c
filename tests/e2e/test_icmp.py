# SPDX-License-Identifier: Apache-2.0
"""Echo: answered by the gateway for itself and by the real thing for everybody else; and what routers say."""

import contextlib
import re

from bed import routed, wait, world
from bed.cases import MAIN, STREAM, case
from bed.proxy import ALIAS, ALIAS6, GATEWAY, GATEWAY6

TAP = ("tap",)


@case(links=MAIN)
def test_gateway(t):
    assert t.guest.ping(GATEWAY, count=3)


@case(links=MAIN)
def test_alias(t):
    assert t.guest.ping(ALIAS, count=3)


@case(links=MAIN)
def test_world(t):
    assert t.guest.ping(world.ADDRESS, count=3)
    assert t.guest.ping(world.MANY % (1, 1), count=3)


@case(links=MAIN)
def test_sizes(t):
    for size in (0, 8, 56, 1472, 3000, 60000):
        assert t.guest.ping(world.ADDRESS, "-s", str(size)), f"{size} bytes of payload"


@case(links=MAIN)
def test_no_forged_reply(t):
    """An address that doesn't answer is not answered for."""
    assert not t.guest.ping(world.BLACK_HOLE, deadline=1)


@case(links=STREAM, start=False)
def test_unprivileged(t):
    """Without any capability echo works by ping sockets, where the host allows them."""
    t.proxy.start("--link", t.guest.link_argument(),
                  wrapper=["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
    t.guest.attach()
    t.guest.dhcp()
    assert t.guest.ping(GATEWAY)
    assert t.guest.ping(ALIAS)
    assert t.guest.ping(world.ADDRESS)


def new_routed(t, mtu=1500):
    return t.cleanup.enter_context(routed.Routed(t.host, mtu))


def output(t, *argv):
    """What a command in the guest says, whatever its exit status."""
    done = t.guest.ns.run(*argv, check=False, timeout=30 * wait.slowness)
    return done.stdout + done.stderr


def hops(text):
    """The addresses of a traceroute's or mtr's numbered lines, in order."""
    return [match[1] for match in re.finditer(r"^ *\d+[. ][ |-]*([0-9a-f.:]+|\*)", text, re.M)]


def expect_hops(t, want, *argv):
    text = output(t, *argv)
    assert hops(text) == want, f"{' '.join(argv)} says:\n{text}"


def trace(t, want):
    for method in ("-I", "-U", "--udp"):
        expect_hops(t, want, "traceroute", "-n", "-q", "1", "-w", "2", method, want[-1])
    for method in ((), ("-u",)):
        expect_hops(t, want, "mtr", "-r", "-c", "1", "-n", "-i", "0.2", "-G", "1", *method, want[-1])


@case(links=TAP)
def test_traceroute(t):
    """Every kind of traceroute names the gateway, the router behind the host, and the end."""
    new_routed(t)
    trace(t, [GATEWAY, routed.ROUTER, routed.FAR])


@case(links=TAP)
def test_traceroute6(t):
    t.guest.configure6()
    new_routed(t)
    trace(t, [GATEWAY6, routed.ROUTER6, routed.FAR6])


@case(links=TAP)
def test_tracepath(t):
    """The way and where it becomes narrow, by the errors that a socket keeps (IP_RECVERR)."""
    t.guest.configure6()
    new_routed(t, routed.NARROW_MTU)
    for hops in ([GATEWAY, routed.ROUTER, routed.FAR], [GATEWAY6, routed.ROUTER6, routed.FAR6]):
        text = output(t, "tracepath", "-n", "-m", "4", hops[-1])
        for number, address in enumerate(hops, 1):
            assert re.search(rf"^ *{number}: +{address} ", text, re.MULTILINE), text
        assert f"pmtu {routed.NARROW_MTU} hops {len(hops)}" in text, text


@case(links=TAP)
def test_time_exceeded(t):
    new_routed(t)
    text = output(t, "ping", "-n", "-c", "1", "-W", "2", "-t", "2", routed.FAR)
    assert f"From {routed.ROUTER} icmp_seq=1 Time to live exceeded" in text, text
    assert t.guest.ping(routed.FAR, "-t", "3")
    t.guest.configure6()
    text = output(t, "ping", "-n", "-c", "1", "-W", "2", "-t", "2", routed.FAR6)
    assert f"From {routed.ROUTER6} icmp_seq=1 Time exceeded: Hop limit" in text, text
    assert t.guest.ping(routed.FAR6, "-t", "3")


@case(links=TAP)
def test_unreachable(t):
    """Who says that there is no way, and why, is told as it was said."""
    t.guest.configure6()
    for who, address, why in (
            (world.ADDRESS, world.UNREACHABLE, "Destination Host Unreachable"),
            (world.ADDRESS, world.PROHIBITED, "Packet filtered"),
            (world.ADDRESS6, world.UNREACHABLE6, "Destination unreachable: "),
            (world.ADDRESS6, world.PROHIBITED6,
             "Destination unreachable: Administratively prohibited")):
        text = output(t, "ping", "-n", "-c", "1", "-W", "2", address)
        assert f"From {who} icmp_seq=1 {why}" in text, text


@case(links=TAP)
def test_path_mtu(t):
    """A ping with DF that is too large hears from the narrow place how large it may be."""
    new_routed(t, routed.NARROW_MTU)
    assert t.guest.ping(routed.FAR, "-M", "do", "-s", str(routed.NARROW_MTU - 28))
    text = output(t, "ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1472", routed.FAR)
    assert f"From {routed.ROUTER}" in text and f"mtu = {routed.NARROW_MTU}" in text, text
    text = output(t, "ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1472", routed.FAR)
    assert f"mtu={routed.NARROW_MTU}" in text, text
    assert t.guest.ping(routed.FAR, "-M", "dont", "-s", "1472")
    assert t.guest.ping(routed.FAR, "-s", "60000")


@case(links=TAP)
def test_path_mtu6(t):
    t.guest.configure6()
    new_routed(t, routed.NARROW_MTU)
    assert t.guest.ping(routed.FAR6, "-M", "do", "-s", str(routed.NARROW_MTU - 48))
    text = output(t, "ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1452", routed.FAR6)
    assert f"From {routed.ROUTER6}" in text and f"mtu={routed.NARROW_MTU}" in text, text
    assert t.guest.ping(routed.FAR6, "-s", "1452")  # in fragments of that size
    assert t.guest.ping(routed.FAR6, "-s", "60000")


@case(links=TAP)
def test_distance(t):
    """The hop limit of a reply says how far it came."""
    new_routed(t)
    t.guest.configure6()
    for far in (routed.FAR, routed.FAR6):
        text = output(t, "ping", "-n", "-c", "1", "-W", "2", far)
        assert " ttl=62 " in text, text  # the router took one, and so do we


@contextlib.contextmanager
def no_ping_sockets(host):
    host.sysctl(ipv4__ping_group_range="1 0")
    try:
        yield
    finally:
        host.sysctl(ipv4__ping_group_range="0 2147483647")


@case(links=TAP, guests=2)
def test_raw(t):
    """Where ping sockets aren't allowed but raw ones are, all is the same."""
    new_routed(t)
    t.guest.configure6()
    with no_ping_sockets(t.host):
        for address in (ALIAS6, world.ADDRESS6):
            assert t.guest.ping(address, "-s", "3000", count=3)
        expect_hops(t, [GATEWAY6, routed.ROUTER6, routed.FAR6],
                    "traceroute", "-n", "-q", "1", "-I", routed.FAR6)
        assert t.guest.ping(world.ADDRESS, "-s", "3000", count=3)
        assert t.guests[1].ping(world.ADDRESS, count=3)
        expect_hops(t, [GATEWAY, routed.ROUTER, routed.FAR],
                    "traceroute", "-n", "-q", "1", "-I", routed.FAR)


@case(links=STREAM, start=False)
def test_unable(t):
    """Where neither is allowed, nobody answers, and the log says what to do, once."""
    with no_ping_sockets(t.host):
        t.proxy.start("--link", t.guest.link_argument(),
                      wrapper=["setpriv", "--bounding-set=-all", "--inh-caps=-all",
                               "--no-new-privs"])
        t.guest.attach()
        t.guest.dhcp()
        assert t.guest.ping(GATEWAY)
        text = output(t, "ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", world.ADDRESS)
        assert " 0 received" in text and "From" not in text, text
    assert t.proxy.log().count("ping_group_range") == 1


@case(links=TAP, guests=2)
def test_flood_is_bounded(t):
    """A guest that pings with ever new ids holds no more descriptors than its share."""
    before = t.settled_fds()
    assert t.guests[1].ping(world.ADDRESS)
    t.guest.ns.run("sh", "-c", "for i in $(seq 400); do ping -n -c 1 -e $i -W 1 "
                   f"{world.BLACK_HOLE} & done >/dev/null; wait", timeout=30 * wait.slowness)
    assert t.proxy.fd_count() <= before + 257, t.proxy.fd_count()
    assert t.guests[1].ping(world.ADDRESS)
    assert t.guest.ping(world.ADDRESS)
