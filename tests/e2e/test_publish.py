# SPDX-License-Identifier: Apache-2.0
"""Published ports: from the host, and from the world through the host, to servers in the guest."""

import socket

from bed import traffic, wait, world
from bed.cases import MAIN, MIB, STREAM, case
from bed.proxy import FIRST_GUEST, GATEWAY
from test_tcp import Client, expect_reset, run_clients
from test_udp import exchange

PUBLISH = ["--publish", f"8080:{FIRST_GUEST}:80", "--publish", f"127.0.0.1:8081:{FIRST_GUEST}:81/tcp",
           "--publish", f"5353:{FIRST_GUEST}:53/udp"]


def published_pair(t, namespace=None, address="127.0.0.1"):
    """A connection through port 8080; (client's end, guest's end)."""
    with t.guest.ns.listen(port=80) as listener:
        client = (namespace or t.host).connect(address, 8080)
        return t.keep(client, traffic.accept(listener))


@case(links=MAIN, args=PUBLISH, timeout=120)
def test_bulk(t):
    client, guest = published_pair(t)
    size = t.size(256 * MIB)
    traffic.finish(traffic.recv(guest, 1, size), traffic.recv(client, 2, size),
                   traffic.send(client, 1, size), traffic.send(guest, 2, size))


@case(links=MAIN, args=PUBLISH)
def test_from_world(t):
    """A port published on all addresses is reached from outside, and one on the loopback isn't."""
    client, guest = published_pair(t, t.world, world.HOST_ADDRESS)
    traffic.one_way(client, guest, MIB)
    try:
        t.world.connect(world.HOST_ADDRESS, 8081).close()
        raise AssertionError("a port published on 127.0.0.1 is open to the world")
    except ConnectionRefusedError:
        pass


@case(links=MAIN, args=PUBLISH)
def test_source_address(t):
    """The guest sees the client's own address; a client on the host's loopback appears as the gateway."""
    _, guest = published_pair(t, t.world, world.HOST_ADDRESS)
    assert guest.getpeername()[0] == world.ADDRESS, guest.getpeername()
    _, guest = published_pair(t)
    assert guest.getpeername()[0] == GATEWAY, guest.getpeername()


@case(links=MAIN, args=PUBLISH)
def test_half_close(t):
    for first in (0, 1):
        ends = published_pair(t)
        ends[first].sendall(b"request")
        ends[first].shutdown(socket.SHUT_WR)
        assert traffic.read_to_end(ends[1 - first]) == b"request"
        traffic.one_way(ends[1 - first], ends[first], t.size(4 * MIB))


@case(links=MAIN, args=PUBLISH)
def test_resets(t):
    for dies in (0, 1):
        ends = published_pair(t)
        ends[dies].sendall(b"x")
        assert ends[1 - dies].recv(1) == b"x"
        traffic.reset(ends[dies])
        expect_reset(ends[1 - dies])


@case(links=MAIN, args=PUBLISH)
def test_no_server_in_guest(t):
    """Where nothing listens in the guest the client is told at once."""
    took = traffic.failed_connect(t.host, 8080)
    assert took < 1 * wait.slowness, f"only after {took:.1f} s"


@case(links=STREAM, args=PUBLISH, attach=False)
def test_no_guest(t):
    """With no guest there the client is told within seconds, not minutes."""
    took = traffic.failed_connect(t.host, 8080)
    assert took < 10 * wait.slowness, f"only after {took:.1f} s"


@case(links=MAIN, args=PUBLISH)
def test_hundred_clients(t):
    """100 parallel clients: all are served, and nothing stays."""
    listener = t.guest.ns.listen(port=80)
    echo = t.serve(traffic.TcpEcho(listener))
    before = t.settled_fds()
    clients = [Client(t.keep(t.host.socket()), ("127.0.0.1", 8080), number) for number in range(100)]
    run_clients(clients, 10)
    for client in clients:
        client.sock.close()
    wait.until(lambda: echo.open == 0, "the guest's server to see all of them closed")
    t.expect_fds(before)


@case(links=MAIN, args=PUBLISH)
def test_client_gone_in_transfer(t):
    """A client that goes in the middle, politely or not: the guest's server learns, netproxy keeps nothing."""
    before = t.settled_fds()
    for leave in (traffic.reset, socket.socket.close):
        client, guest = published_pair(t)
        sender = traffic.send(guest, 1, 1024 * MIB)
        traffic.read_exactly(client, MIB)
        leave(client)
        traffic.finish_cut_off(sender)
        guest.close()
    t.expect_fds(before)


@case(links=MAIN, args=PUBLISH)
def test_slow_client(t):
    """A client that doesn't read holds up the guest's server, not netproxy's memory."""
    client, guest = published_pair(t)
    before = t.proxy.rss_kib()
    taken = traffic.stuff(guest)
    grown = t.proxy.rss_kib() - before
    assert grown < t.rss_bound_kib(8), f"netproxy grew by {grown} KiB"
    guest.shutdown(socket.SHUT_WR)
    client.settimeout(20 * wait.slowness)
    assert len(traffic.read_to_end(client)) == taken


@case(links=MAIN, args=PUBLISH)
def test_udp(t):
    """Datagrams to a published UDP port are answered to the client that sent them."""
    t.serve(traffic.UdpEcho(t.guest.ns.udp(port=53)))
    clients = [(t.host, "127.0.0.1")] * 20 + [(t.world, world.HOST_ADDRESS)] * 20
    for number, (namespace, address) in enumerate(clients):
        sock = t.keep(namespace.udp())
        data = b"client %d " % number + b"x" * (number * 30)
        assert exchange(sock, (address, 5353), data) == (data, (address, 5353))


@case(links=MAIN, args=PUBLISH)
def test_udp_source_address(t):
    echo = t.serve(traffic.UdpEcho(t.guest.ns.udp(port=53)))
    exchange(t.keep(t.world.udp()), (world.HOST_ADDRESS, 5353), b"x")
    exchange(t.keep(t.host.udp()), ("127.0.0.1", 5353), b"x")
    assert [source[0] for source in echo.seen] == [world.ADDRESS, GATEWAY], echo.seen


@case(links=MAIN)
def test_expose_and_unexpose(t):
    """By API a port opens at once, is listed, and closes at once; a live connection survives that."""
    t.proxy.expose("127.0.0.1:8080", f"{FIRST_GUEST}:80")
    assert t.proxy.forwards() == [{"local": "127.0.0.1:8080", "remote": f"{FIRST_GUEST}:80",
                                   "protocol": "tcp"}]
    client, guest = published_pair(t)
    t.proxy.unexpose("127.0.0.1:8080")
    assert t.proxy.forwards() == []
    try:
        t.host.connect("127.0.0.1", 8080).close()
        raise AssertionError("the port is still open after unexpose")
    except ConnectionRefusedError:
        pass
    traffic.one_way(client, guest, MIB)
    traffic.one_way(guest, client, MIB)


@case(links=MAIN)
def test_expose_udp(t):
    t.serve(traffic.UdpEcho(t.guest.ns.udp(port=53)))
    t.proxy.expose("127.0.0.1:5353", f"{FIRST_GUEST}:53", "udp")
    sock = t.keep(t.host.udp())
    assert exchange(sock, ("127.0.0.1", 5353), b"data")[0] == b"data"
    t.proxy.unexpose("127.0.0.1:5353", "udp")
    with t.host.udp("127.0.0.1", 5353):
        pass  # the address is free again


@case(links=STREAM)
def test_hundred_ports(t):
    """100 forwards, all open together, each to its own port; closed again they leave nothing."""
    before = t.settled_fds()
    listeners = [t.keep(t.guest.ns.listen(port=9000 + n)) for n in range(100)]
    for n in range(100):
        t.proxy.expose(f"127.0.0.1:{20000 + n}", f"{FIRST_GUEST}:{9000 + n}")
    assert len(t.proxy.forwards()) == 100
    for n, listener in enumerate(listeners):
        client = t.host.connect("127.0.0.1", 20000 + n)
        server = traffic.accept(listener)
        client.sendall(b"%d" % n)
        assert server.recv(16) == b"%d" % n
        client.close()
        server.close()
    for n in range(100):
        t.proxy.unexpose(f"127.0.0.1:{20000 + n}")
    t.expect_fds(before)
