# SPDX-License-Identifier: Apache-2.0
"""Several guests on one network."""

from bed import traffic, wait, world
from bed.cases import MIB, case


def talk(t):
    a, b = t.guests
    assert a.address != b.address, a.address
    assert a.ping(b.address, count=3) and b.ping(a.address, count=3)
    for source, sink in ((a, b), (b, a)):
        client, server = t.keep(*traffic.pair(source.ns, sink.ns, sink.address))
        assert server.getpeername()[0] == source.address
        size = t.size(64 * MIB)
        traffic.finish(traffic.recv(server, 1, size), traffic.recv(client, 2, size),
                       traffic.send(client, 1, size), traffic.send(server, 2, size))
    port_sock = b.ns.udp(b.address)
    t.serve(traffic.UdpEcho(port_sock))
    sock = t.keep(a.ns.udp())
    sock.settimeout(3 * wait.slowness)
    for size in (10, 1472, 8000):
        sock.sendto(b"x" * size, port_sock.getsockname())
        assert len(sock.recv(65536)) == size


@case(kinds=["tap", "tap"], timeout=90)
def test_tap_and_tap(t):
    talk(t)


@case(kinds=["stream", "stream"], timeout=90)
def test_stream_and_stream(t):
    talk(t)


@case(kinds=["tap", "stream"], timeout=90)
def test_tap_and_stream(t):
    talk(t)


@case(kinds=["stream-offload", "tap"], timeout=90)
def test_offloading_bridge_and_tap(t):
    talk(t)


@case(kinds=["tap", "stream", "stream-tcp", "stream"])
def test_all_reach_the_world(t):
    """Each guest has its own flows, even from the same source port."""
    listener = t.keep(t.world.listen())
    pairs = []
    for one in t.guests:
        sock = t.keep(one.ns.socket())
        sock.bind(("0.0.0.0", 44444))
        sock.connect((world.ADDRESS, listener.getsockname()[1]))
        pairs.append((sock, t.keep(traffic.accept(listener))))
    size = t.size(16 * MIB)
    traffic.finish(*(traffic.recv(far, n, size) for n, (_, far) in enumerate(pairs)),
                   *(traffic.send(near, n, size) for n, (near, _) in enumerate(pairs)))


@case(kinds=["stream", "stream"])
def test_one_goes(t):
    """A guest that goes takes nothing of another's with it, and may return."""
    a, b = t.guests
    client, far = t.pair()
    b.detach()
    traffic.one_way(client, far, t.size(4 * MIB))
    b.attach()
    b.dhcp()
    assert a.ping(b.address)


@case(kinds=["stream", "tap"])
def test_unicast_stays_private(t):
    """A third party doesn't see what two others say to each other, once the switch knows them."""
    a, _ = t.guests
    third = t.guests[1]
    assert a.ping(world.ADDRESS)

    def received():
        with third.ns, open("/proc/net/dev") as file:
            return next(int(line.split()[1]) for line in file if line.strip().startswith("eth0:"))
    before = received()
    client, far = t.pair()
    traffic.one_way(client, far, MIB)
    grown = received() - before
    assert grown < 65536, f"a guest received {grown} bytes while another sent 1 MiB to the world"
