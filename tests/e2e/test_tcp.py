# SPDX-License-Identifier: Apache-2.0
"""TCP from the guest outwards: integrity, half-close, resets, refusals, back-pressure, many at once."""

import errno
import selectors
import socket
import time

from bed import traffic, wait, world
from bed.cases import ALL, MAIN, MIB, case
from bed.proxy import ALIAS

GIB = 1024 * MIB


@case(links=("tap", "stream", "stream-offload", "vhost"), timeout=180)
def test_bulk_up(t):
    """1 GiB from the guest arrives intact, and its end with it."""
    client, far = t.pair()
    traffic.one_way(client, far, t.size(GIB), seed=11)


@case(links=("tap", "stream", "stream-offload", "vhost"), timeout=180)
def test_bulk_down(t):
    client, far = t.pair()
    traffic.one_way(far, client, t.size(GIB), seed=12)


@case(links=ALL, timeout=120)
def test_bulk_both_ways(t):
    """Both directions of one connection at the same time."""
    client, far = t.pair()
    size = t.size(128 * MIB)
    traffic.finish(traffic.recv(far, 1, size), traffic.recv(client, 2, size),
                   traffic.send(client, 1, size), traffic.send(far, 2, size))


@case(links=("stream-lossy",), timeout=120)
def test_bulk_over_a_bad_wire(t):
    """Frames of both directions get lost, doubled and out of order; the streams don't."""
    size = 16 * MIB
    client, far = t.pair()
    traffic.one_way(client, far, size, seed=1)
    client, far = t.pair()
    traffic.one_way(far, client, size, seed=2)
    for _ in range(20):  # opening and closing, too
        client, far = t.pair()
        traffic.one_way(client, far, 1000)


@case(links=MAIN, timeout=120)
def test_bulk_four_connections(t):
    size = t.size(64 * MIB)
    transfers = []
    for seed in range(4):
        client, far = t.pair()
        source, sink = (client, far) if seed % 2 else (far, client)
        transfers += [traffic.recv(sink, seed, size), traffic.send(source, seed, size)]
    traffic.finish(*transfers)


@case(links=MAIN)
def test_bulk_to_alias(t):
    """The host alias is the host's loopback."""
    client, far = t.pair(ALIAS, t.host, "127.0.0.1")
    assert far.getpeername()[0] == "127.0.0.1", far.getpeername()
    traffic.one_way(client, far, t.size(64 * MIB), seed=3)


def small_mtu(t, mtu):
    t.guest.ns.ip("link", "set", "dev", "eth0", "mtu", str(mtu))
    client, far = t.pair()
    size = t.size(16 * MIB)
    traffic.finish(traffic.recv(far, 1, size), traffic.recv(client, 2, size),
                   traffic.send(client, 1, size), traffic.send(far, 2, size))


@case(links=MAIN)
def test_guest_with_small_mtu(t):
    """The guest's MSS is respected: its interface takes no frame above 600 bytes."""
    small_mtu(t, 600)


@case(links=MAIN, args=["--mtu", "9000"])
def test_large_mtu(t):
    """--mtu reaches the guest by DHCP, and frames of that size pass."""
    assert t.guest.lease().get("mtu") == "9000", t.guest.lease()
    small_mtu(t, 9000)


@case(links=MAIN)
def test_half_close_by_guest(t):
    """The guest ends its direction first; the answer still comes whole."""
    client, far = t.pair()
    client.sendall(b"request")
    client.shutdown(socket.SHUT_WR)
    assert traffic.read_to_end(far) == b"request"
    traffic.one_way(far, client, t.size(8 * MIB), seed=4)


@case(links=MAIN)
def test_half_close_by_world(t):
    """The far side ends its direction first; the guest still sends, and is heard."""
    client, far = t.pair()
    far.sendall(b"greeting")
    far.shutdown(socket.SHUT_WR)
    assert traffic.read_to_end(client) == b"greeting"
    traffic.one_way(client, far, t.size(8 * MIB), seed=5)


@case(links=MAIN)
def test_close_with_data_in_flight(t):
    """A side that writes and closes at once loses nothing."""
    for source, sink in (0, 1), (1, 0):
        for size in (1, 1460, 65536, 4 * MIB):
            ends = t.pair()
            sender = traffic.send(ends[source], size, size, end=False)
            ends[source].close()  # the sender's is the last copy, and goes with its last byte
            traffic.finish(traffic.recv(ends[sink], size, size), sender)


def expect_reset(sock):
    sock.settimeout(5 * wait.slowness)
    try:
        data = sock.recv(1)
    except ConnectionResetError:
        return
    raise AssertionError(f"read {data!r} where a reset was sent")


@case(links=MAIN)
def test_reset_by_world(t):
    client, far = t.pair()
    far.sendall(b"x")
    assert client.recv(1) == b"x"
    traffic.reset(far)
    expect_reset(client)


@case(links=MAIN)
def test_reset_by_guest(t):
    client, far = t.pair()
    client.sendall(b"x")
    assert far.recv(1) == b"x"
    traffic.reset(client)
    expect_reset(far)


@case(links=MAIN)
def test_reset_after_half_close(t):
    """A reset comes through in a connection of which one direction has ended already."""
    client, far = t.pair()
    client.shutdown(socket.SHUT_WR)
    assert far.recv(1) == b""
    traffic.reset(far)
    expect_reset(client)
    client, far = t.pair()
    far.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    traffic.reset(client)
    expect_reset(far)


@case(links=MAIN)
def test_reset_in_transfer(t):
    """A peer that goes in the middle of a transfer takes the connection with it, at once."""
    for dies in (0, 1):
        ends = t.pair()
        sender = traffic.send(ends[1 - dies], 1, GIB)
        traffic.read_exactly(ends[dies], MIB)
        traffic.reset(ends[dies])
        traffic.finish_cut_off(sender)


def refused_after(t, address, port):
    """Seconds until the guest's connect was refused."""
    start = time.monotonic()
    try:
        t.guest.ns.connect(address, port).close()
    except ConnectionRefusedError:
        return time.monotonic() - start
    raise AssertionError(f"connected to {address}:{port}, where nothing listens")


@case(links=MAIN)
def test_refused_at_once(t):
    for address in (world.ADDRESS, ALIAS):
        took = refused_after(t, address, 9)
        assert took < 0.5 * wait.slowness, f"{address}: refused only after {took:.2f} s"


@case(links=MAIN)
def test_refused_by_gateway(t):
    """A port of the gateway where it has no service."""
    from bed.proxy import GATEWAY
    assert refused_after(t, GATEWAY, 9) < 0.5 * wait.slowness


@case(links=MAIN)
def test_unreachable(t):
    """A connect that the network refuses fails at once, with its reason. (The world's kernel limits its errors, so
    that the host may have to ask twice; without an answer it would take minutes.)"""
    for address in (world.UNREACHABLE, world.PROHIBITED):
        start = time.monotonic()
        try:
            t.guest.ns.connect(address, 80).close()
            raise AssertionError(f"connected to {address}")
        except OSError as error:
            took = time.monotonic() - start
            assert error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES), error
            assert took < 5 * wait.slowness, f"{address}: {error} only after {took:.2f} s"


@case(links=MAIN)
def test_connect_waits_for_far_side(t):
    """The guest's connect isn't answered before the far side's, and does no harm to others meanwhile."""
    pending = []
    for n in range(100):
        sock = t.keep(t.guest.ns.socket())
        sock.setblocking(False)
        sock.connect_ex((f"10.79.{n}.1", 80))
        pending.append(sock)
    took = traffic.seconds(t.pair)
    assert took < 1 * wait.slowness, f"beside 100 pending connects, one took {took:.2f} s"
    with selectors.DefaultSelector() as selector:
        for sock in pending:
            selector.register(sock, selectors.EVENT_WRITE)
        early = [key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                 for key, _ in selector.select(0.2)]
    assert not early, f"{len(early)} connects to a black hole were answered: {early[:3]}"


class Client:
    """One of many connections: connects, sends its token, and waits for the echo."""

    def __init__(self, sock, address, number):
        self.sock = sock
        self.token = b"token %06d\n" % number
        self.sent = False
        self.got = b""
        sock.setblocking(False)
        error = sock.connect_ex(address)
        assert error in (0, errno.EINPROGRESS), errno.errorcode[error]

    def step(self):
        """Goes on as far as it can; True when the token came back."""
        if not self.sent:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            assert error == 0, f"connection {self.token}: {errno.errorcode[error]}"
            self.sock.send(self.token)
            self.sent = True
            return False
        data = self.sock.recv(64)
        assert data, f"connection {self.token}: ended before its echo"
        self.got += data
        assert self.token.startswith(self.got), f"{self.token}: got {self.got}"
        return self.got == self.token


def run_clients(clients, timeout):
    """Steps all clients until each has its token; all stay open."""
    deadline = time.monotonic() + timeout * wait.slowness
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_WRITE, client)
        left = len(clients)
        while left:
            ready = selector.select(max(deadline - time.monotonic(), 0))
            if not ready:
                unsent = sum(not client.sent for client in clients)
                raise wait.Late(f"{left} of {len(clients)} connections without their echo, "
                                f"{unsent} of them not even connected")
            for key, _ in ready:
                if key.data.step():
                    selector.unregister(key.fileobj)
                    left -= 1
                else:
                    selector.modify(key.fileobj, selectors.EVENT_READ, key.data)


@case(links=MAIN)
def test_thousand_at_once(t):
    """1000 connections opened at once all succeed, all live together, and leave nothing behind."""
    before = t.settled_fds()
    listener = t.world.listen()
    echo = t.serve(traffic.TcpEcho(listener))
    address = (world.ADDRESS, listener.getsockname()[1])
    clients = [Client(t.keep(t.guest.ns.socket()), address, number) for number in range(1000)]
    run_clients(clients, 20)
    assert echo.open == 1000, f"{echo.open} connections are open at the far side"
    for client in clients:
        client.sock.close()
    wait.until(lambda: echo.open == 0, "the far side to see all of them closed")
    t.expect_fds(before)


@case(links=MAIN)
def test_thousand_in_a_row(t):
    """Connections made and closed one after another; nothing piles up."""
    listener = t.world.listen()
    t.serve(traffic.TcpEcho(listener))
    address = (world.ADDRESS, listener.getsockname()[1])

    def exchange(number):
        with t.guest.ns.connect(*address) as sock:
            sock.sendall(b"%d" % number)
            assert sock.recv(64) == b"%d" % number

    for number in range(100):
        exchange(number)
    fds, rss = t.settled_fds(), t.proxy.rss_kib()
    for number in range(1000):
        exchange(number)
    t.expect_fds(fds)
    grown = t.proxy.rss_kib() - rss
    assert grown < t.rss_bound_kib(4), f"1000 connections left {grown} KiB behind"


@case(links=MAIN)
def test_same_port_again(t):
    """A guest may use a source port again right after closing it."""
    listener = t.world.listen()
    t.serve(traffic.TcpEcho(listener))
    for number in range(20):
        sock = t.guest.ns.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", 45000))
        took = traffic.seconds(sock.connect, (world.ADDRESS, listener.getsockname()[1]))
        sock.sendall(b"again")
        assert traffic.read_exactly(sock, 5) == b"again"
        traffic.reset(sock)
        assert took < 0.5 * wait.slowness, f"connection {number} took {took:.2f} s"


@case(links=MAIN)
def test_small_exchanges_are_quick(t):
    """Neither delayed ACKs nor batching make a request of two writes wait."""
    client, far = t.pair()
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for sock in client, far:
        sock.settimeout(5 * wait.slowness)

    def exchange():
        client.send(b"head")
        client.send(b"body")
        traffic.read_exactly(far, 8)
        far.send(b"an")
        far.send(b"swer")
        traffic.read_exactly(client, 6)

    exchange()
    took = traffic.seconds(lambda: [exchange() for _ in range(100)]) / 100
    # The guest's second write waits for the ACK of its first (Nagle); a delayed ACK is 40 ms or more.
    assert took < 0.02 * wait.slowness, f"a request and its answer took {took * 1000:.1f} ms"


def slow_reader(t, writer, reader):
    """What a writer can push towards somebody who doesn't read is bounded, and nothing of it is lost."""
    before = t.proxy.rss_kib()
    taken = traffic.stuff(writer)
    grown = t.proxy.rss_kib() - before
    assert grown < t.rss_bound_kib(8), \
        f"a slow reader made netproxy grow by {grown} KiB ({taken} bytes were taken)"
    writer.shutdown(socket.SHUT_WR)
    reader.settimeout(20 * wait.slowness)
    data = traffic.read_to_end(reader)
    assert len(data) == taken and not any(data), f"{taken} bytes were taken, {len(data)} came"


@case(links=MAIN)
def test_slow_reader_in_world(t):
    client, far = t.pair()
    slow_reader(t, client, far)


@case(links=MAIN)
def test_slow_reader_in_guest(t):
    client, far = t.pair()
    slow_reader(t, far, client)


@case(links=MAIN)
def test_slow_readers_harm_nobody(t):
    """Beside 3 stuck connections in each direction another one moves on; memory stays bounded."""
    before = t.proxy.rss_kib()
    for number in range(6):
        client, far = t.pair()
        traffic.stuff((client, far)[number % 2], still_for=0.1)
    client, far = t.pair()
    took = traffic.seconds(traffic.one_way, client, far, t.size(16 * MIB))
    assert took < 5 * wait.slowness, f"beside stuck connections 16 MiB took {took:.1f} s"
    grown = t.proxy.rss_kib() - before
    assert grown < t.rss_bound_kib(6 * 4 + 8), f"6 stuck connections made it grow by {grown} KiB"


@case(links=MAIN)
def test_reader_wakes_up(t):
    """A reader that stops and goes on, many times, gets every byte."""
    client, far = t.pair()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    size = 32 * MIB
    sender = traffic.send(client, 9, size)
    got = 0
    while got < 16 * MIB:
        got += len(traffic.read_exactly(far, MIB))
        time.sleep(0.02)  # not a wait for anything: this is the slowness of the reader
    sender_alive = sender._popen.poll() is None
    rest = len(traffic.read_to_end(far))
    traffic.finish(sender)
    assert got + rest == size, f"{got + rest} of {size} bytes came"
    assert sender_alive or t.settings.sanitized, "16 MiB were taken from a writer ahead of its reader"
