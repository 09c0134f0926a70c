# SPDX-License-Identifier: Apache-2.0
"""Published ports on IPv6 and across families, as whom the guest sees clients, and the PROXY header."""

import ipaddress
import socket
import struct
import threading

from bed import traffic, world
from bed.cases import MAIN, MIB, STREAM, case
from bed.guest import ADDRESS6
from bed.proxy import FIRST_GUEST, GATEWAY, GATEWAY6
from test_udp import exchange

GUEST6 = ADDRESS6 % 1
PUBLISH = ["--publish", f"8080:[{GUEST6}]:80", "--publish", f"8084:{FIRST_GUEST}:80",
           "--publish", f"[::1]:8081:[{GUEST6}]:80", "--publish", f"0.0.0.0:8082:[{GUEST6}]:80",
           "--publish", f"5353:[{GUEST6}]:53/udp", "--publish", f"5354:{FIRST_GUEST}:53/udp"]
PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def connect(t, namespace, address, port, guest_port=80):
    """A connection through a published port; (client's end, guest's end)."""
    with t.guest.ns.listen("::", guest_port) as listener:
        client = namespace.connect(address, port)
        return t.keep(client, traffic.accept(listener))


def seen(guest_end):
    """The peer's address, in IPv4 where it is that."""
    address = ipaddress.ip_address(guest_end.getpeername()[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


@case(links=MAIN, args=PUBLISH)
def test_families(t):
    """Every kind of client reaches every kind of guest address, and is seen as what the guest can answer."""
    t.guest.configure6()
    for namespace, address, port, as_whom in (
            (t.world, world.HOST_ADDRESS6, 8080, world.ADDRESS6), (t.world, world.HOST_ADDRESS, 8080, GATEWAY6),
            (t.host, "::1", 8080, GATEWAY6), (t.host, "127.0.0.1", 8080, GATEWAY6),
            (t.world, world.HOST_ADDRESS, 8084, world.ADDRESS), (t.world, world.HOST_ADDRESS6, 8084, GATEWAY),
            (t.host, "::1", 8084, GATEWAY), (t.host, "127.0.0.1", 8084, GATEWAY),
            (t.host, "::1", 8081, GATEWAY6), (t.world, world.HOST_ADDRESS, 8082, GATEWAY6)):
        client, guest = connect(t, namespace, address, port)
        assert seen(guest) == as_whom, f"{address} {port}: seen as {seen(guest)}, not {as_whom}"
        traffic.one_way(client, guest, MIB)
        traffic.one_way(guest, client, MIB)
    for namespace, address, port in ((t.host, "127.0.0.1", 8081), (t.host, "::1", 8082)):
        try:
            namespace.connect(address, port).close()
            raise AssertionError(f"{address} {port} is open")
        except ConnectionRefusedError:
            pass


@case(links=STREAM, args=PUBLISH, timeout=120)
def test_bulk(t):
    t.guest.configure6()
    client, guest = connect(t, t.world, world.HOST_ADDRESS6, 8080)
    size = t.size(64 * MIB)
    traffic.finish(traffic.recv(guest, 1, size), traffic.recv(client, 2, size),
                   traffic.send(client, 1, size), traffic.send(guest, 2, size))


@case(links=MAIN, args=PUBLISH)
def test_udp_families(t):
    t.guest.configure6()
    echo = t.serve(traffic.UdpEcho(t.guest.ns.udp("::", 53)))
    expected = []
    for namespace, address, port, as_whom in (
            (t.world, world.HOST_ADDRESS6, 5353, world.ADDRESS6), (t.world, world.HOST_ADDRESS, 5353, GATEWAY6),
            (t.host, "::1", 5353, GATEWAY6), (t.world, world.HOST_ADDRESS6, 5354, "::ffff:" + GATEWAY),
            (t.world, world.HOST_ADDRESS, 5354, "::ffff:" + world.ADDRESS)):
        any_address = "::" if ":" in address else "0.0.0.0"
        data = address.encode() * 40
        got, source = exchange(t.keep(namespace.udp(any_address)), (address, port), data)
        assert got == data and source[:2] == (address, port), (got, source)
        expected.append(as_whom)
    assert [source[0] for source in echo.seen] == expected, echo.seen


@case(links=STREAM, args=["--publish", f"8080:{FIRST_GUEST}:80,source=gateway"])
def test_source_gateway(t):
    _, guest = connect(t, t.world, world.HOST_ADDRESS, 8080)
    assert seen(guest) == GATEWAY


def proxy_header(family, kind, client, at):
    """The PROXY header, version 2, as its specification has it."""
    addresses = socket.inet_pton(family, client[0]) + socket.inet_pton(family, at[0])
    ports = struct.pack("!HH", client[1], at[1])
    code = (0x10 if family == socket.AF_INET else 0x20) | kind
    return PROXY_SIGNATURE + struct.pack("!BBH", 0x21, code, len(addresses) + 4) + addresses + ports


PROXIED = ["--publish", f"8080:{FIRST_GUEST}:80,proxy=v2", "--publish", f"8086:[{GUEST6}]:80,proxy=v2",
           "--publish", f"5353:{FIRST_GUEST}:53/udp,proxy=v2"]


@case(links=MAIN, args=PROXIED)
def test_proxy_header(t):
    """The header tells of the client as it is, whatever the guest's family; then come its bytes."""
    t.guest.configure6()
    for namespace, address, port in ((t.world, world.HOST_ADDRESS, 8080), (t.host, "127.0.0.1", 8080),
                                     (t.world, world.HOST_ADDRESS6, 8080), (t.world, world.HOST_ADDRESS, 8086),
                                     (t.host, "::1", 8086)):
        client, guest = connect(t, namespace, address, port)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        client.sendall(b"hello")
        header = proxy_header(family, 1, client.getsockname(), (address, port))
        assert traffic.read_exactly(guest, len(header)) == header
        assert traffic.read_exactly(guest, 5) == b"hello"
        traffic.one_way(client, guest, MIB)


@case(links=STREAM, args=PROXIED)
def test_proxy_header_comes_at_once(t):
    """A server may speak first: the header doesn't wait for the client's bytes."""
    client, guest = connect(t, t.world, world.HOST_ADDRESS, 8080)
    header = proxy_header(socket.AF_INET, 1, client.getsockname(), (world.HOST_ADDRESS, 8080))
    assert traffic.read_exactly(guest, len(header)) == header
    guest.sendall(b"220 ready")
    assert traffic.read_exactly(client, 9) == b"220 ready"


@case(links=STREAM, args=PROXIED)
def test_proxy_header_of_datagrams(t):
    with t.guest.ns.udp("0.0.0.0", 53) as server:
        client = t.keep(t.world.udp(world.ADDRESS))
        client.sendto(b"question", (world.HOST_ADDRESS, 5353))
        data, source = server.recvfrom(4096)
        header = proxy_header(socket.AF_INET, 2, client.getsockname(), (world.HOST_ADDRESS, 5353))
        assert data == header + b"question", data
        server.sendto(b"answer", source)
        assert client.recvfrom(4096) == (b"answer", (world.HOST_ADDRESS, 5353))


def serve_pages(listener, count):
    for _ in range(count):
        sock = traffic.accept(listener)
        with sock:
            while not sock.recv(4096).endswith(b"\r\n\r\n"):
                pass
            sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\npage\n")


@case(links=STREAM, args=PUBLISH)
def test_curl(t):
    """The way that people look: curl by IPv4 and IPv6 to a name that is both."""
    t.guest.configure6()
    with t.guest.ns.listen("::", 80) as listener:
        thread = threading.Thread(target=serve_pages, args=(listener, 4), daemon=True)
        thread.start()
        for family, address in (("-4", world.HOST_ADDRESS), ("-6", f"[{world.HOST_ADDRESS6}]")):
            for port in (8080, 8084):
                done = t.world.run("curl", "-sS", family, "--resolve", f"web.test:{port}:{address.strip('[]')}",
                                   f"http://web.test:{port}/")
                assert done.stdout == "page\n", done
        thread.join()
