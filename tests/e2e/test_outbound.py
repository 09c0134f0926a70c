# SPDX-License-Identifier: Apache-2.0
"""The host's own address that guests' traffic leaves from."""

import subprocess

from bed import traffic, world
from bed.cases import STREAM, case
from bed.proxy import ALIAS

SECOND = "10.77.0.99"
SECOND6 = "fd77::99"


def second_addresses(t):
    """Gives the host's interface to the world one more address of each family; returns the interface."""
    ifname = next(line.split()[1] for line in t.host.ip("-o", "-4", "addr").splitlines()
                  if world.HOST_ADDRESS + "/" in line)
    for address in (f"{SECOND}/24", f"{SECOND6}/64"):
        t.host.ip("addr", "add", address, "dev", ifname, *(["nodad"] if ":" in address else []))
        t.cleanup.callback(t.host.ip, "addr", "del", address, "dev", ifname)
    return ifname


@case(links=STREAM, start=False)
def test_address(t):
    """TCP and UDP of both families leave from it; the host's loopback is reached nevertheless."""
    second_addresses(t)
    t.start("--outbound-address", SECOND, "--outbound-address6", SECOND6)
    t.guest.configure6()
    for address, bind, want in ((world.ADDRESS, "0.0.0.0", SECOND), (world.ADDRESS6, "::", SECOND6)):
        _, far = t.pair(address, bind=bind)
        assert far.getpeername()[0] == want, far.getpeername()
        server, client = t.keep(t.world.udp(bind), t.guest.ns.udp(bind))
        client.sendto(b"hello", (address, server.getsockname()[1]))
        data, peer = server.recvfrom(100)
        assert (data, peer[0]) == (b"hello", want), (data, peer)
        server.sendto(b"back", peer)
        assert client.recv(100) == b"back"
    with t.host.listen("127.0.0.1", 7077) as listener:
        near = t.keep(t.guest.ns.connect(ALIAS, 7077))
        traffic.one_way(near, t.keep(traffic.accept(listener)), 100000)
    server, client = t.keep(t.host.udp("127.0.0.1"), t.guest.ns.udp())
    client.sendto(b"hello", (ALIAS, server.getsockname()[1]))
    data, peer = server.recvfrom(100)
    server.sendto(b"back", peer)
    data, peer = client.recvfrom(100)
    assert (data, peer[0]) == (b"back", ALIAS), (data, peer)


@case(start=False)
def test_wrong(t):
    """What is no address and no interface is refused at once, as is one of the other family."""
    for flag, value in (("--outbound-address", "nosuchif"), ("--outbound-address", "fd00::1"),
                        ("--outbound-address6", "10.0.0.1"), ("--outbound-address", "0.0.0.0")):
        done = subprocess.run([f"{t.settings.bin}/netproxy", "--link", "tap:x", flag, value],
                              capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2 and "of this host's" in done.stderr, done


@case(links=STREAM, start=False)
def test_interface(t):
    """An interface stands for its first address."""
    ifname = second_addresses(t)
    t.start("--outbound-address", ifname)
    _, far = t.pair()
    assert far.getpeername()[0] == world.HOST_ADDRESS, far.getpeername()
