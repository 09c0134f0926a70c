# SPDX-License-Identifier: Apache-2.0
"""TCP from the guest outwards over its life: connects that fail or never end, idle times, urgent data, smaller
paths, and a host whose network comes and goes."""

import errno
import os
import resource
import signal
import socket
import time

from bed import process, traffic, wait, world
from bed.cases import MAIN, STREAM, case
from bed.proxy import ALIAS


def connect_later(t, address, port=80):
    sock = t.keep(t.guest.ns.socket())
    sock.setblocking(False)
    sock.connect_ex((address, port))
    return sock


def error_of(sock):
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def cpu_used(t, seconds):
    """netproxy's CPU time in so many seconds."""
    pid = t.proxy.process.pid
    before = process.cpu_seconds(pid)
    time.sleep(seconds)  # what is measured
    return process.cpu_seconds(pid) - before


# ---- Connects ----


@case(links=MAIN)
def test_black_holes_harm_nobody(t):
    """A burst of 500 connects that nobody answers: others are as quick as ever, and nothing is answered early."""
    pending = [connect_later(t, f"10.79.{n // 250}.{n % 250 + 1}") for n in range(500)]
    for _ in range(20):
        took = traffic.seconds(t.pair)
        assert took < 0.5 * wait.slowness, f"beside 500 pending connects, one took {took:.2f} s"
    assert refused_in(t) < 0.5 * wait.slowness
    early = [error_of(sock) for sock in pending if error_of(sock)]
    assert not early, f"{len(early)} connects to a black hole were answered: {early[:3]}"
    used = cpu_used(t, 0.5)
    assert used < 0.1 * wait.slowness, f"500 pending connects cost {used:.2f} s CPU time in half a second"


def refused_in(t):
    start = time.monotonic()
    try:
        t.guest.ns.connect(world.ADDRESS, 9).close()
    except ConnectionRefusedError:
        return time.monotonic() - start
    raise AssertionError("connected where nothing listens")


@case(links=STREAM)
def test_guest_gives_up(t):
    """Connects that the guest has given up are given up on the host, too, long before they'd time out."""
    before = t.settled_fds()
    pending = [connect_later(t, f"10.79.0.{n}") for n in range(1, 51)]
    wait.until(lambda: t.proxy.fd_count() >= before + 50, "50 connects on the host")
    for sock in pending:
        sock.close()
    t.expect_fds(before, timeout=20)


@case(links=MAIN)
def test_no_descriptors_left(t):
    """What is only missing on the host for a moment isn't a refusal: the guest's next SYN succeeds."""
    pid = t.proxy.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    t.settled_fds()
    used = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    first_free = next(fd for fd in range(65536) if fd not in used)
    with t.world.listen() as listener:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free, limits[1]))
        sock = connect_later(t, world.ADDRESS, listener.getsockname()[1])
        wait.until(lambda: "Too many open files" in t.proxy.log(), "the log to say what is missing")
        assert not error_of(sock), errno.errorcode[error_of(sock)]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        with traffic.accept(listener) as far:
            far.sendall(b"x")
            sock.setblocking(True)
            sock.settimeout(5 * wait.slowness)
            assert sock.recv(1) == b"x"


@case(links=STREAM)
def test_refused_by_the_hosts_filter(t):
    """A packet filter on the host that rejects or forbids is told as what it is."""
    rules = [(["-j", "REJECT", "--reject-with", "tcp-reset"], errno.ECONNREFUSED),
             (["-j", "REJECT", "--reject-with", "icmp-admin-prohibited"], errno.EHOSTUNREACH),
             (["-j", "REJECT", "--reject-with", "icmp-net-unreachable"], errno.ENETUNREACH)]
    for rule, expected in rules:
        where = ["OUTPUT", "-p", "tcp", "-d", "10.78.9.9", *rule]
        t.host.run("iptables", "-w", "-A", *where)
        try:
            start = time.monotonic()
            t.guest.ns.connect("10.78.9.9", 80).close()
            raise AssertionError(f"connected in spite of {rule}")
        except OSError as error:
            assert error.errno == expected, f"{rule}: {error}"
            assert time.monotonic() - start < 3 * wait.slowness, f"{rule}: late"
        finally:
            t.host.run("iptables", "-w", "-D", *where)


@case(links=MAIN)
def test_port_again_after_the_far_side_closed(t):
    """The far side closes first, so it is us who wait for stragglers; the guest may come again at once."""
    with t.world.listen() as listener:
        for number in range(20):
            sock = t.guest.ns.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", 45001))
            took = traffic.seconds(sock.connect, (world.ADDRESS, listener.getsockname()[1]))
            assert took < 0.5 * wait.slowness, f"connection {number} took {took:.2f} s"
            far = traffic.accept(listener)
            far.close()
            assert sock.recv(1) == b""
            sock.close()
            wait.until(lambda: ":45001" not in t.guest.ns.run("ss", "-tnH").stdout, "the guest's socket to go")


# ---- Idle connections ----


def keepalive_timer(t, sock):
    """What ss says of the keepalive timer of the host's socket that leads there; None: it has none."""
    port = sock.getsockname()[1]
    said = t.host.run("ss", "-tnoH", "dst", f"{world.ADDRESS}:{port}").stdout
    return said.partition("timer:(keepalive,")[2].partition(",")[0] or None


@case(links=STREAM)
def test_keepalive_is_passed_on(t):
    """A guest that keeps a connection alive does so on the host's side, too, and as often."""
    client, far = t.pair()
    assert keepalive_timer(t, far) is None
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 6)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 6)
    left = wait.until(lambda: keepalive_timer(t, far), "keepalive on the host's side", 15)
    # Not the host's two hours.
    assert "min" not in left or left.startswith("0min"), left
    client.sendall(b"x")
    assert far.recv(1) == b"x"


@case(links=MAIN)
def test_idle_connections_cost_nothing(t):
    pairs = [t.pair() for _ in range(100)]
    wait.until(lambda: cpu_used(t, 0.2) == 0, "netproxy to be idle")
    used = cpu_used(t, 2)
    assert used <= 0.02 * wait.slowness, f"100 idle connections cost {used:.2f} s CPU time in 2 s"
    for client, far in pairs:
        client.sendall(b"x")
        assert far.recv(1) == b"x"


@case(links=("tap",))
def test_resets_that_were_lost(t):
    """A process with many connections dies, and most of its resets find the guest's queue full: nobody repeats them,
    and yet its connections end. Those of others live on."""
    t.guest.ns.ip("link", "set", "eth0", "txqueuelen", "200")
    before = t.settled_fds()
    lost = [t.pair() for _ in range(500)]
    kept = [t.pair() for _ in range(20)]
    os.kill(t.proxy.process.pid, signal.SIGSTOP)
    for client, _ in lost:
        traffic.reset(client)
    os.kill(t.proxy.process.pid, signal.SIGCONT)
    t.expect_fds(before + len(kept), timeout=20)
    for client, far in kept:
        client.sendall(b"x")
        assert far.recv(1) == b"x"
    for _, far in lost:
        assert_reset(far)


def assert_reset(sock):
    try:
        assert sock.recv(1) == b"", "data from a guest that has gone"
        raise AssertionError("closed instead of reset")
    except ConnectionResetError:
        pass


# ---- Urgent data ----


def urgent(sender, receiver, rounds):
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    expected = b""
    for number in range(rounds):
        sender.send(b"before%d" % number)
        sender.send(b"!", socket.MSG_OOB)
        sender.send(b"after%d" % number)
        expected += b"before%d!after%d" % (number, number)
    sender.send(b"?", socket.MSG_OOB)
    sender.shutdown(socket.SHUT_WR)
    got = traffic.read_to_end(receiver)
    assert got == expected + b"?", f"{got} instead of {expected + b'?'}"


@case(links=MAIN)
def test_urgent_data_up(t):
    """Urgent bytes stay where they are in the stream, as with SO_OOBINLINE."""
    client, far = t.pair()
    urgent(client, far, 50)


@case(links=MAIN)
def test_urgent_data_down(t):
    client, far = t.pair()
    urgent(far, client, 50)


@case(links=STREAM)
def test_urgent_data_down_at_once(t):
    """Urgent bytes that come before the guest has been accepted are not lost, either."""
    with t.world.listen() as listener:
        client = t.keep(t.guest.ns.connect(world.ADDRESS, listener.getsockname()[1]))
        far = t.keep(traffic.accept(listener))
        far.send(b"!", socket.MSG_OOB)
        far.shutdown(socket.SHUT_WR)
        client.settimeout(5 * wait.slowness)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        assert traffic.read_to_end(client) == b"!"


# ---- Paths ----


def nest(t, mtu):
    """A container in the guest, behind an interface of its own with that MTU, translated to the guest's address. The
    container doesn't know of the MTU."""
    from bed import netns
    inner = netns.Namespace("inner")
    t.cleanup.callback(inner.remove)
    ns = t.guest.ns
    ns.ip("link", "add", "c0", "type", "veth", "peer", "name", "eth0", "netns", inner.name)
    ns.ip("addr", "add", "172.30.0.1/24", "dev", "c0")
    ns.ip("link", "set", "c0", "up")
    inner.ip("addr", "add", "172.30.0.2/24", "dev", "eth0")
    inner.ip("link", "set", "eth0", "up")
    inner.ip("route", "add", "default", "via", "172.30.0.1")
    ns.ip("link", "set", "c0", "mtu", str(mtu))
    ns.sysctl(ipv4__ip_forward=1, ipv4__icmp_ratelimit=0)
    ns.run("iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-s", "172.30.0.0/24", "-j", "MASQUERADE")
    return inner


@case(links=MAIN)
def test_path_mtu_in_the_guest(t):
    """A smaller MTU behind a router in the guest: what it says of it is believed."""
    inner = nest(t, 1300)
    client, far = t.keep(*traffic.pair(inner, t.world, world.ADDRESS))
    size = t.size(4 << 20)
    took = traffic.seconds(traffic.one_way, far, client, size, 3)
    assert took < 5 * wait.slowness, f"{size} bytes took {took:.1f} s"
    # After the first ones nothing is too large any more.
    fails = int(snmp(t.guest.ns)["FragFails"])
    assert 0 < fails < 500, f"{fails} packets were too large"


def snmp(namespace):
    names, values = (line.split()[1:] for line in
                     namespace.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Ip:"))
    return dict(zip(names, values))


# ---- The host's network ----


def uplink(t, state):
    t.host.ip("link", "set", "h0", state)
    if state == "up":
        t.host.ip("route", "replace", "default", "via", world.ADDRESS)


@case(links=MAIN)
def test_uplink_goes_and_comes_back(t):
    """Without a network, new connects fail at once, old connections wait, and nothing spins; then all goes on."""
    client, far = t.pair()
    pending = connect_later(t, world.BLACK_HOLE)
    uplink(t, "down")
    try:
        for _ in range(3):
            start = time.monotonic()
            try:
                t.guest.ns.connect("10.78.1.1", 80).close()
                raise AssertionError("connected without a network")
            except OSError as error:
                assert error.errno == errno.ENETUNREACH, error
            assert time.monotonic() - start < 1 * wait.slowness
        client.sendall(b"while there is no network")
        used = cpu_used(t, 1)
        assert used <= 0.05 * wait.slowness, f"{used:.2f} s CPU time in 1 s without a network"
        client_alias, far_alias = t.pair(ALIAS, t.host, "127.0.0.1")
        client_alias.sendall(b"x")
        assert far_alias.recv(1) == b"x"
    finally:
        uplink(t, "up")
    other, other_far = t.pair()
    other.sendall(b"new")
    assert other_far.recv(3) == b"new"
    far.settimeout(15 * wait.slowness)
    assert traffic.read_exactly(far, 25) == b"while there is no network"
    assert error_of(pending) in (0, errno.ENETUNREACH)


@case(links=STREAM)
def test_address_goes(t):
    """The host loses its address, as when it joins another network: connections over it end by themselves or by
    the far side, new ones work."""
    client, far = t.pair()
    t.host.ip("addr", "del", f"{world.HOST_ADDRESS}/24", "dev", "h0")
    t.host.ip("addr", "add", "10.77.0.9/24", "dev", "h0")
    uplink(t, "up")
    try:
        client.sendall(b"x")
        used = cpu_used(t, 1)
        assert used <= 0.05 * wait.slowness, f"{used:.2f} s CPU time in 1 s"
        other, other_far = t.pair()
        assert other_far.getpeername()[0] == "10.77.0.9"
        other.sendall(b"new")
        assert other_far.recv(3) == b"new"
    finally:
        t.host.ip("addr", "del", "10.77.0.9/24", "dev", "h0")
        t.host.ip("addr", "add", f"{world.HOST_ADDRESS}/24", "dev", "h0")
        uplink(t, "up")
