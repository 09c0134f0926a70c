# SPDX-License-Identifier: Apache-2.0
"""UDP from the guest outwards."""

import contextlib
import json
import select
import socket
import time

from bed import process, routed, traffic, wait, world
from bed.cases import MAIN, case
from bed.proxy import ALIAS

MARKS_SIZE = socket.CMSG_SPACE(4) * 2
# ip(7); these are not in Python's socket module.
IP_MTU_DISCOVER = 10
IP_RECVTTL = 12
IP_RECVTOS = 13
IP_MTU = 14
IPV6_MTU_DISCOVER = 23
IPV6_MTU = 24
PMTUDISC_DONT = 0  # of either family
PMTUDISC_DO = 2


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
    t.guest.configure6()
    for address, any_address, sizes in ((world.ADDRESS, "0.0.0.0", (1473, 4000, 20000, 65507)),
                                        (world.ADDRESS6, "::", (1453, 20000, 65527))):
        port = echo_server(t, address=address)
        sock = t.keep(t.guest.ns.udp(any_address))
        for size in sizes:
            data = bytes(n * 13 & 0xff for n in range(size))
            answer, _ = exchange(sock, (address, port), data)
            assert answer == data, f"{size} bytes to {address} became {len(answer)} or changed"


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
def test_answer_comes_too_late(t):
    """The guest has closed its socket when the answer comes: whoever answers hears of it, as without us."""
    with t.world:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    t.keep(server).bind((world.ADDRESS, 0))
    server.settimeout(3 * wait.slowness)
    client = t.guest.ns.udp()
    client.sendto(b"hello", server.getsockname())
    server.connect(server.recvfrom(64)[1])
    client.close()

    def flows():
        return t.proxy.get("/stats")["UDP"]["Flows"]

    assert flows() == 1
    server.send(b"too late")
    wait.until(lambda: flows() == 0, "the flow to end")
    server.send(b"much too late")
    try:
        server.recv(64)
        raise AssertionError("an answer from a socket that is closed")
    except ConnectionRefusedError:
        pass


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


def receive_marks(sock):
    """(data, source, TTL, TOS) of the next datagram."""
    data, controls, _, source = sock.recvmsg(65536, MARKS_SIZE)
    marks = {kind: value[0] for _, kind, value in controls}
    ttl, tos = ((socket.IPV6_HOPLIMIT, socket.IPV6_TCLASS) if sock.family == socket.AF_INET6 else
                (socket.IP_TTL, socket.IP_TOS))
    return data, source[:2], marks[ttl], marks[tos]


def with_marks(sock, ttl, tos):
    """Sends with these, and reports those of what it gets."""
    sock.settimeout(3 * wait.slowness)
    level, *options = ((socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS,
                        socket.IPV6_UNICAST_HOPS, socket.IPV6_TCLASS)
                       if sock.family == socket.AF_INET6 else
                       (socket.IPPROTO_IP, IP_RECVTTL, IP_RECVTOS, socket.IP_TTL, socket.IP_TOS))
    for option, value in zip(options, (1, 1, ttl, tos)):
        sock.setsockopt(level, option, value)
    return sock


def marks_arrive(far, near):
    to = far.getsockname()
    with_marks(far, 64, 0)
    for ttl, tos in ((64, 0), (64, 0xb8), (64, 0xb9), (7, 0x02), (7, 0x02), *[(30, 0x28)] * 6, (64, 0)):
        with_marks(near, ttl, tos).sendto(b"marked", to)
        data, source, *seen = receive_marks(far)
        assert (data, *seen) == (b"marked", ttl - 1, tos), (ttl, tos, seen)
        with_marks(far, 128 - ttl, tos ^ 0x01).sendto(data, source)
        data, source, *seen = receive_marks(near)
        assert (source, *seen) == (to[:2], 127 - ttl, tos ^ 0x01), (ttl, tos, seen)


@case(links=MAIN)
def test_marks(t):
    """TTL (one less), DSCP and ECN arrive with each datagram, also when they change from one to the next."""
    marks_arrive(t.keep(t.world.udp(world.ADDRESS)), t.keep(t.guest.ns.udp()))
    t.guest.configure6()
    marks_arrive(t.keep(t.world.udp(world.ADDRESS6)), t.keep(t.guest.ns.udp("::")))


def find_path_mtu(t, far, sock):
    """With DF a guest finds out how narrow the path is, without, large datagrams arrive all the same."""
    ip6 = sock.family == socket.AF_INET6
    level, discover, mtu = ((socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_MTU) if ip6 else
                            (socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_MTU))
    headers = 48 if ip6 else 28
    t.keep(sock)
    sock.connect(far)

    def comes_back(size):
        sock.send(bytes(size))
        return len(sock.recv(65536)) == size

    def gets_there():
        with contextlib.suppress(TimeoutError):
            return comes_back(1500)
    sock.setsockopt(level, discover, PMTUDISC_DONT)
    sock.settimeout(0.3 * wait.slowness)
    wait.until(gets_there, "a large datagram")  # in IPv6 the first is lost
    sock.settimeout(3 * wait.slowness)
    assert comes_back(60000)
    sock.setsockopt(level, discover, PMTUDISC_DO)
    assert comes_back(routed.NARROW_MTU - headers)
    with contextlib.suppress(OSError):  # in IPv6 it knows by now: its fragments were too large
        sock.send(bytes(1500 - headers))
    wait.until(lambda: sock.getsockopt(level, mtu) == routed.NARROW_MTU,
               "the path's MTU in the guest", timeout=3)
    sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert comes_back(routed.NARROW_MTU - headers)
    sock.setsockopt(level, discover, PMTUDISC_DONT)
    for size in (1500, routed.NARROW_MTU - headers):  # in fragments of that size, or just as large
        for _ in range(30):  # a burst, which netproxy would rather send as one
            sock.send(bytes(size))
        for _ in range(30):
            assert len(sock.recv(65536)) == size


@case(links=MAIN)
def test_path_mtu(t):
    narrow = t.cleanup.enter_context(routed.Routed(t.host, routed.NARROW_MTU))
    port = echo_server(t, narrow.far, routed.FAR)
    find_path_mtu(t, (routed.FAR, port), t.guest.ns.udp())


@case(links=MAIN)
def test_path_mtu6(t):
    t.guest.configure6()
    narrow = t.cleanup.enter_context(routed.Routed(t.host, routed.NARROW_MTU))
    port = echo_server(t, narrow.far, routed.FAR6)
    find_path_mtu(t, (routed.FAR6, port), t.guest.ns.udp("::"))


def counter(namespace, protocol, name):
    """One of the kernel's counters in /proc/net/snmp."""
    lines = [line.split() for line in namespace.run("cat", "/proc/net/snmp").stdout.splitlines()
             if line.startswith(protocol + ":")]
    return int(dict(zip(*lines))[name])


@case(links=MAIN, guests=2)
def test_group_stays(t):
    """Broadcast and multicast reach the other guest, but not the host's network, and nobody complains. Only the
    broadcast address of the host's network is one to a guest like any other: it hears that it must not."""
    heard = t.keep(t.guests[1].ns.udp(port=1900))
    heard.settimeout(3 * wait.slowness)
    sock = t.keep(t.guest.ns.udp())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    port = echo_server(t, address=world.ADDRESS)
    exchange(sock, (world.ADDRESS, port), b"a flow to the outside")
    sent = counter(t.host, "Udp", "OutDatagrams")
    for address in ("255.255.255.255", "192.168.65.255", "239.255.255.250", "224.0.0.251",
                    world.BROADCAST):
        sock.sendto(b"discovery", (address, 1900))
    assert heard.recvfrom(64)[0] == b"discovery"
    assert exchange(sock, (world.ADDRESS, port), b"the last")[0] == b"the last"  # and nothing before it
    assert counter(t.host, "Udp", "OutDatagrams") == sent + 1
    assert counter(t.guest.ns, "Icmp", "InDestUnreachs") == 1
    assert t.proxy.get("/stats")["UDP"]["Group"] == 2


@case(links=MAIN, guests=2, args=("--max-udp-flows", "64"))
def test_flood_of_one_guest(t):
    """A guest that opens flows without end ends its own, not another's."""
    with t.world:
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    t.keep(far)
    far.bind((world.ADDRESS, 0))
    far.settimeout(3 * wait.slowness)
    quiet = t.keep(t.guests[1].ns.udp())
    quiet.settimeout(3 * wait.slowness)
    quiet.sendto(b"quiet", far.getsockname())
    _, mapped = far.recvfrom(64)
    before = t.settled_fds()
    for _ in range(500):
        with t.guest.ns.udp() as sock:
            sock.sendto(b"loud", (world.BLACK_HOLE, 9))
    port = echo_server(t, address=world.ADDRESS)
    exchange(t.keep(t.guest.ns.udp()), (world.ADDRESS, port), b"after the flood")
    assert t.proxy.fd_count() <= before + 64, t.proxy.fd_count()
    far.sendto(b"still there?", mapped)
    assert quiet.recvfrom(64) == (b"still there?", far.getsockname())


@case(links=MAIN)
def test_dig(t):
    """A resolver in the world, asked directly."""
    done = t.guest.ns.run("dig", "+short", "+time=2", "+tries=1", f"@{world.ADDRESS}", "a.test")
    assert done.stdout.strip() == world.ADDRESS, done.stdout
    done = t.guest.ns.run("dig", "+short", "+notcp", "+ignore", "+bufsize=65000", "+time=2",
                          "+tries=1", f"@{world.ADDRESS}", "txt.test", "TXT")
    assert "second string" in done.stdout, done.stdout


@case(links=MAIN)
def test_iperf3(t):
    """A stream of datagrams each way arrives, but for what a busy machine loses."""
    for direction in ((), ("-R",)):
        # One for each: it refuses the next client while it is still busy with the one that has just gone.
        server = process.Process(["iperf3", "-s", "-1", "-B", world.ADDRESS, "--forceflush"],
                                 f"{t.directory}/iperf3{''.join(direction)}.log", t.world)
        t.cleanup.callback(server.kill)
        server.wait_output("listening")
        done = t.guest.ns.run("iperf3", "-c", world.ADDRESS, "-u", "-b", "20M", "-t", "1", "-J",
                              *direction, timeout=20 * wait.slowness)
        said = json.loads(done.stdout)
        assert "error" not in said, said["error"]
        end = said["end"]["sum"]
        assert end["packets"] > 500 / wait.slowness, end
        assert end["lost_percent"] < 10, end
        server.wait()
