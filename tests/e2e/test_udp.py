# SPDX-License-Identifier: Apache-2.0
"""UDP from the guest outwards."""

import select
import socket
import time

from bed import traffic, wait, world
from bed.cases import MAIN, case
from bed.proxy import ALIAS


def exchange(sock, address, data, timeout=2):
    """Sends a datagram and returns (answer, source)."""
    sock.settimeout(timeout * wait.slowness)
    sock.sendto(data, address)
    return sock.recvfrom(65536)


def echo_server(t, namespace=None, address="0.0.0.0"):
    """The port of a new echo server that answers from the address that was asked."""
    sock = (namespace or t.world).udp(address)
    t.serve(traffic.UdpEcho(sock))
    return sock.getsockname()[1]


@case(links=MAIN)
def test_echo(t):
    """Datagrams of many sizes come back whole, from where they were sent to."""
    port = echo_server(t, address=world.ADDRESS)
    sock = t.keep(t.guest.ns.udp())
    for size in (0, 1, 2, 511, 1200, 1471, 1472):
        data = bytes(n * 7 & 0xff for n in range(size))
        answer, source = exchange(sock, (world.ADDRESS, port), data)
        assert answer == data, f"{size} bytes became {len(answer)} or changed"
        assert source == (world.ADDRESS, port), source


@case(links=MAIN)
def test_echo_fragmented(t):
    """Datagrams larger than the MTU are reassembled on the way out and fragmented on the way in."""
    port = echo_server(t, address=world.ADDRESS)
    sock = t.keep(t.guest.ns.udp())
    for size in (1473, 4000, 20000, 65507):
        data = bytes(n * 13 & 0xff for n in range(size))
        answer, _ = exchange(sock, (world.ADDRESS, port), data)
        assert answer == data, f"{size} bytes became {len(answer)} or changed"


@case(links=MAIN)
def test_echo_from_alias(t):
    port = echo_server(t, t.host, "127.0.0.1")
    sock = t.keep(t.guest.ns.udp())
    answer, source = exchange(sock, (ALIAS, port), b"to the host's loopback")
    assert (answer, source) == (b"to the host's loopback", (ALIAS, port))


@case(links=MAIN)
def test_hundred_destinations(t):
    """One guest socket talks to 100 destinations; each answer names the one that it is from."""
    addresses = [world.MANY % (n // 50, n % 50 + 1) for n in range(100)]
    with t.world:
        servers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in addresses]
    for server, address in zip(servers, addresses):
        server.bind((address, 7000))
    t.serve(traffic.UdpEcho(*servers))
    sock = t.keep(t.guest.ns.udp())
    sock.settimeout(3 * wait.slowness)
    for address in addresses:
        sock.sendto(address.encode(), (address, 7000))
    answers = {}
    while len(answers) < len(addresses):
        data, source = sock.recvfrom(2048)
        answers[source[0]] = data.decode()
    assert answers == {address: address for address in addresses}


@case(links=MAIN)
def test_many_sources(t):
    """500 guest sockets at once; each gets its own answer."""
    port = echo_server(t, address=world.ADDRESS)
    socks = [t.keep(t.guest.ns.udp()) for _ in range(500)]
    exchange(socks[0], (world.ADDRESS, port), b"a first one, for the neighbour tables")
    poller = select.poll()
    for number, sock in enumerate(socks):
        sock.sendto(b"source %d" % number, (world.ADDRESS, port))
        poller.register(sock, select.POLLIN)
    waiting = {sock.fileno(): (sock, b"source %d" % number) for number, sock in enumerate(socks)}
    deadline = time.monotonic() + 10 * wait.slowness
    while waiting:
        ready = poller.poll(max(deadline - time.monotonic(), 0) * 1000)
        if not ready:
            raise wait.Late(f"{len(waiting)} of 500 datagrams were not answered")
        for fd, _ in ready:
            sock, token = waiting.pop(fd)
            assert sock.recv(64) == token
            poller.unregister(fd)


@case(links=MAIN)
def test_nothing_lost_in_a_dialogue(t):
    """5000 datagrams with 16 on their way at a time: no loss, no doubles."""
    port = echo_server(t, address=world.ADDRESS)
    sock = t.keep(t.guest.ns.udp())
    sock.connect((world.ADDRESS, port))
    sock.settimeout(3 * wait.slowness)
    seen = set()
    for number in range(5000 + 16):
        if number < 5000:
            sock.send(b"%d" % number)
        if number >= 16:
            answer = sock.recv(64)
            assert answer not in seen, f"{answer} came twice"
            seen.add(answer)
    assert len(seen) == 5000


def refused(t, address):
    """Sends to a closed port until the socket is told so."""
    sock = t.keep(t.guest.ns.udp())
    sock.connect((address, 9))
    sock.setblocking(False)

    def told():
        try:
            sock.send(b"anybody?")
            sock.recv(1)
        except ConnectionRefusedError:
            return True
        except BlockingIOError:
            pass
        return False
    wait.until(told, f"ECONNREFUSED from {address}", timeout=3, interval=0.1)


@case(links=MAIN)
def test_port_unreachable(t):
    """A closed port is told to the guest's socket."""
    refused(t, world.ADDRESS)


@case(links=MAIN)
def test_port_unreachable_by_alias(t):
    refused(t, ALIAS)


@case(links=MAIN)
def test_answers_from_elsewhere(t):
    """Full cone: whoever was told the mapped port may answer, under its own address."""
    with t.world:
        asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    t.keep(asked, other)
    asked.settimeout(3 * wait.slowness)
    asked.bind((world.ADDRESS, 0))
    other.bind((world.MANY % (3, 3), 0))
    sock = t.keep(t.guest.ns.udp())
    sock.settimeout(3 * wait.slowness)
    sock.sendto(b"hello", asked.getsockname())
    _, mapped = asked.recvfrom(64)
    other.sendto(b"from elsewhere", mapped)
    assert sock.recvfrom(64) == (b"from elsewhere", other.getsockname())


@case(links=MAIN)
def test_flood_is_bounded(t):
    """Datagrams to 20,000 destinations leave neither memory nor fds without bound, and others work on."""
    sock = t.keep(t.guest.ns.udp())
    sock.settimeout(10)
    before = t.proxy.rss_kib()
    for number in range(20000):
        sock.sendto(b"x" * 100, (world.MANY % (number >> 8 & 0xff, number & 0xff), 9000))
    port = echo_server(t, address=world.ADDRESS)
    other = t.keep(t.guest.ns.udp())

    def answered():
        try:
            return exchange(other, (world.ADDRESS, port), b"still there?", 0.5)
        except TimeoutError:
            return None
    wait.until(answered, "an echo beside the flood", timeout=10)
    grown = t.proxy.rss_kib() - before
    assert grown < t.rss_bound_kib(32), f"the flood made netproxy grow by {grown} KiB"
