# SPDX-License-Identifier: Apache-2.0
"""IPv6 from a guest with an address of its own choice: neighbours, echo, TCP and UDP outwards, what is refused."""

import errno
import socket
import threading
import time

from bed import traffic, wait, world
from bed.cases import MAIN, MIB, case
from bed.guest import ADDRESS6 as GUEST6
from bed.proxy import ALIAS6, GATEWAY6


def configure(t, guest=None, answered=True):
    return (guest or t.guest).configure6(answered)


def pair6(t, address=world.ADDRESS6, server=None, bind="::"):
    return t.pair(address, server, bind)


@case(links=MAIN)
def test_ping(t):
    configure(t)
    assert t.guest.ping(GATEWAY6, count=3)
    assert t.guest.ping(GATEWAY6, "-s", "8000"), "in fragments both ways"
    assert t.guest.ping("ff02::2%eth0")
    assert t.guest.ping(ALIAS6)
    assert t.guest.ping(world.ADDRESS6, count=3)
    assert not t.guest.ping(world.BLACK_HOLE6, deadline=1)


@case(links=MAIN)
def test_our_addresses_are_defended(t):
    """A guest that wants to have the gateway's or the host's address hears that it is taken."""
    configure(t)
    for address in (GATEWAY6, ALIAS6):
        t.guest.ns.ip("-6", "addr", "add", f"{address}/64", "dev", "eth0")
        wait.until(lambda: "dadfailed" in t.guest.ns.ip("-6", "addr", "show", "dev", "eth0"),
                   f"the guest to notice that {address} is taken")
        t.guest.ns.ip("-6", "addr", "del", f"{address}/64", "dev", "eth0")
    # Without asking, it reaches nobody from there.
    t.guest.ns.ip("-6", "addr", "add", f"{ALIAS6}/128", "dev", "eth0", "nodad")
    assert not t.guest.ping(world.ADDRESS6, "-I", ALIAS6, deadline=1)
    t.guest.ns.ip("-6", "addr", "del", f"{ALIAS6}/128", "dev", "eth0")
    assert t.guest.ping(world.ADDRESS6)


@case(links=MAIN, timeout=120)
def test_bulk(t):
    """Each direction alone, and both at once; every byte is compared."""
    configure(t)
    size = t.size(64 * MIB)
    client, far = pair6(t)
    traffic.one_way(client, far, size, seed=1)
    client, far = pair6(t)
    traffic.one_way(far, client, size, seed=2)
    client, far = pair6(t)
    traffic.finish(traffic.recv(far, 3, size), traffic.recv(client, 4, size),
                   traffic.send(client, 3, size), traffic.send(far, 4, size))


def frames(t, direction):
    return int(t.guest.ns.ip("-j", "-s", "link", "show", "eth0").split(f'"{direction}":{{')[1]
               .split('"packets":')[1].split(",")[0])


@case(links=("tap", "vhost"))
def test_super_frames(t):
    """Where the link can do it, the guest's and our segments cross it many at a time (TCPV6 GSO)."""
    configure(t)
    size = t.size(64 * MIB)
    client, far = pair6(t)
    sent = frames(t, "tx")
    traffic.one_way(client, far, size, seed=1)
    sent = frames(t, "tx") - sent
    client, far = pair6(t)
    received = frames(t, "rx")
    traffic.one_way(far, client, size, seed=2)
    received = frames(t, "rx") - received
    # One for each segment would be 1440 bytes; ACKs count, too.
    assert size / sent > 8000, f"{size // sent} bytes in a frame from the guest"
    assert size / received > 8000, f"{size // received} bytes in a frame to the guest"


@case(links=("stream-lossy",), timeout=120)
def test_bulk_over_a_bad_wire(t):
    configure(t)
    size = t.size(8 * MIB)
    client, far = pair6(t)
    traffic.one_way(client, far, size, seed=1)
    client, far = pair6(t)
    traffic.one_way(far, client, size, seed=2)


def serve_page(listener, page):
    sock = traffic.accept(listener)
    with sock:
        while not sock.recv(4096).endswith(b"\r\n\r\n"):
            pass
        sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)


@case(links=MAIN)
def test_curl(t):
    configure(t)
    page = b"a page from the world\n" * 1000
    with t.world.listen("::") as listener:
        server = threading.Thread(target=serve_page, args=(listener, page))
        server.start()
        done = t.guest.ns.run("curl", "-6", "-sS", "--max-time", str(int(10 * wait.slowness)),
                              f"http://[{world.ADDRESS6}]:{listener.getsockname()[1]}/")
        server.join()
    assert done.stdout.encode() == page, f"{len(done.stdout)} bytes"


@case(links=MAIN)
def test_alias(t):
    """The host alias is the host's [::1]."""
    configure(t)
    client, far = pair6(t, ALIAS6, t.host, "::1")
    assert far.getpeername()[0] == "::1", far.getpeername()
    traffic.one_way(client, far, t.size(16 * MIB), seed=3)


def failed_after(t, address, port):
    start = time.monotonic()
    try:
        t.guest.ns.connect(address, port).close()
    except OSError as error:
        return error.errno, time.monotonic() - start
    raise AssertionError(f"connected to [{address}]:{port}")


@case(links=MAIN)
def test_refused_at_once(t):
    configure(t)
    for address in (world.ADDRESS6, ALIAS6, GATEWAY6):
        error, took = failed_after(t, address, 9)
        assert error == errno.ECONNREFUSED, (address, errno.errorcode[error])
        assert took < 0.5 * wait.slowness, f"{address}: refused only after {took:.2f} s"


@case(links=MAIN)
def test_unreachable_at_once(t):
    """What can't be reached fails with the reason, so that the guest tries IPv4 at once."""
    configure(t)
    expected = {
        world.NO_ROUTE6: (errno.ENETUNREACH,),
        world.UNREACHABLE6: (errno.EHOSTUNREACH, errno.ENETUNREACH),
        world.PROHIBITED6: (errno.EACCES, errno.EHOSTUNREACH),
    }
    for address, errors in expected.items():
        error, took = failed_after(t, address, 80)
        assert error in errors, (address, errno.errorcode[error])
        assert took < 2 * wait.slowness, f"{address}: only after {took:.2f} s"


@case(links=MAIN)
def test_udp(t):
    """Datagrams there and back, small ones and such as go in fragments."""
    configure(t)
    echo = t.world.udp("::")
    t.serve(traffic.UdpEcho(echo))
    sock = t.keep(t.guest.ns.socket(socket.SOCK_DGRAM, socket.AF_INET6))
    for size in (1, 1400, 1452, 1453, 8000, 40000):
        datagram = bytes(n % 251 for n in range(size))
        sock.sendto(datagram, (world.ADDRESS6, echo.getsockname()[1]))
        assert sock.recv(65536) == datagram, f"{size} bytes"


@case(links=MAIN)
def test_udp_to_closed_port(t):
    configure(t)
    sock = t.keep(t.guest.ns.socket(socket.SOCK_DGRAM, socket.AF_INET6))
    sock.connect((world.ADDRESS6, 9))
    sock.send(b"anybody?")
    sock.settimeout(5 * wait.slowness)
    try:
        sock.recv(16)
        raise AssertionError("an answer from a closed port")
    except ConnectionRefusedError:
        pass


@case(links=MAIN)
def test_published(t):
    """A guest's IPv6 address can be published to; its peer is the client, or the alias where that is the host."""
    address = configure(t)
    with t.guest.ns.listen("::") as server:
        port = server.getsockname()[1]
        t.proxy.expose("[::]:8080", f"[{address}]:{port}")
        for namespace, to, seen in ((t.world, world.HOST_ADDRESS6, (world.ADDRESS6,)),
                                    (t.host, "::1", (ALIAS6, GATEWAY6)),
                                    (t.host, "127.0.0.1", (ALIAS6, GATEWAY6))):
            client = t.keep(namespace.connect(to, 8080))
            guest = t.keep(traffic.accept(server))
            assert guest.getpeername()[0] in seen, (to, guest.getpeername())
            traffic.one_way(client, guest, t.size(4 * MIB), seed=1)
            client = t.keep(namespace.connect(to, 8080))
            guest = t.keep(traffic.accept(server))
            traffic.one_way(guest, client, t.size(4 * MIB), seed=2)


@case(links=("stream",), guests=2)
def test_foreign_source(t):
    """A guest reaches nobody from an address outside of the network."""
    configure(t)
    t.guest.ns.ip("-6", "addr", "add", "2001:db8:bad::1/128", "dev", "eth0", "nodad")
    assert not t.guest.ping(world.ADDRESS6, "-I", "2001:db8:bad::1", deadline=1)
    assert t.guest.ping(world.ADDRESS6)


@case(links=("stream",), guests=2)
def test_guest_to_guest(t):
    first, second = (configure(t, one) for one in t.guests)
    assert t.guests[0].ping(second) and t.guests[1].ping(first)


@case(links=("tap",), args=["--prefix6", "none"])
def test_without(t):
    """There is no IPv6, and nobody is told that there were."""
    configure(t, answered=False)
    assert not t.guest.ping(world.ADDRESS6, deadline=1)
    assert t.guest.ping(world.ADDRESS)
