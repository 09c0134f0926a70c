# SPDX-License-Identifier: Apache-2.0
"""Every kind of link: traffic, a guest that vanishes and comes back, and all of them on one network."""

import os
import signal
import socket
import struct

from bed import process, traffic, wait, world
from bed.cases import MIB, TRANSPORTS, case
from bed.guest import IFNAME
from bed.proxy import FIRST_GUEST, GATEWAY


def talk(t, guest):
    """Both ways, TCP in bulk and UDP up to the MTU."""
    assert guest.ping(GATEWAY, count=2)
    listener = t.keep(t.world.listen())
    near = t.keep(guest.ns.connect(world.ADDRESS, listener.getsockname()[1]))
    far = t.keep(traffic.accept(listener))
    size = t.size(8 * MIB)
    traffic.finish(traffic.recv(far, 1, size), traffic.recv(near, 2, size),
                   traffic.send(near, 1, size), traffic.send(far, 2, size))
    echo = t.world.udp(world.ADDRESS)
    t.serve(traffic.UdpEcho(echo))
    sock = t.keep(guest.ns.udp())
    sock.settimeout(3 * wait.slowness)
    for size in (1, 1472, 4000):
        sock.sendto(b"x" * size, echo.getsockname())
        assert len(sock.recv(65536)) == size


def fetch(t, port):
    """Whether a connection to a published port of the host ends at the guest's listener."""
    listener = t.keep(t.guest.ns.listen(port=8080))
    near = t.keep(t.host.connect("127.0.0.1", port))
    far = t.keep(traffic.accept(listener))
    near.sendall(b"hello")
    assert traffic.read_exactly(far, 5) == b"hello"
    listener.close()


@case(links=(*TRANSPORTS, "stream", "vhost"), args=["--publish", "127.0.0.1:7780:8080"], timeout=90)
def test_drop_and_return(t):
    """A guest that comes back has its address, its forward and its network."""
    talk(t, t.guest)
    fetch(t, 7780)
    before = t.guest.address
    t.guest.detach()
    t.guest.attach()
    t.guest.dhcp()
    assert t.guest.address == before == FIRST_GUEST
    talk(t, t.guest)
    fetch(t, 7780)


@case(kinds=["vpnkit-ip", "vpnkit-ip"], attach=False)
def test_vpnkit_addresses(t):
    """A UUID is a MAC, the address that it prefers is its own, and nobody else's."""
    first, second = t.guests
    first.attach()
    mac = first.mac
    assert first.dhcp()["ip"] == "192.168.65.77"
    try:
        second.attach()
        raise AssertionError("a second guest got the same address")
    except AssertionError as error:
        assert "Preferred IP address 192.168.65.77 already used." in str(error), error
    second.bridge.wait()
    # Connecting again is a return, of which the old connection learns.
    first.bridge.send_signal(signal.SIGSTOP)
    old = first.bridge
    t.cleanup.callback(old.kill)
    other = t.add_guest("vpnkit-ip")
    other.socket, other.number = first.socket, first.number
    other._bridge_count = 1  # a log of its own
    other.attach()
    assert other.mac == mac
    assert other.dhcp()["ip"] == "192.168.65.77"
    old.send_signal(signal.SIGCONT)
    assert old.wait() == 3


def hello(version, magic=b"VMN3T"):
    return magic + struct.pack("<I", version) + b"0" * 40


@case(kinds=["vpnkit"], attach=False)
def test_vpnkit_versions(t):
    """Another version is answered and closed; what isn't VMN3T is only closed."""
    for say, answer in ((hello(22), 49), (hello(21), 49), (hello(22, b"GET /"), 0)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(5 * wait.slowness)
            sock.connect(t.guest.socket)
            sock.sendall(say)
            heard = traffic.read_exactly(sock, answer) if answer else b""
            assert heard[:9] == (b"VMN3T\x16\0\0\0" if answer else b""), heard
            if say == hello(22):
                sock.sendall(b"\x07" + b"x" * 40)
                refusal = traffic.read_exactly(sock, 258)
                assert refusal[0] == 2 and refusal[1] > 0, refusal
            assert sock.recv(1) == b""


@case(kinds=["tap", "stream", "vhost", *TRANSPORTS], timeout=120)
def test_all_on_one_network(t):
    """Guests of all kinds reach each other, and the world."""
    assert len({one.address for one in t.guests}) == len(t.guests)
    listener = t.keep(t.world.listen())
    for index, one in enumerate(t.guests):
        other = t.guests[index - 1]
        assert one.ping(other.address), (one.link, other.link)
        server = t.keep(other.ns.listen())
        near = t.keep(one.ns.connect(other.address, server.getsockname()[1]))
        far = t.keep(traffic.accept(server))
        size = t.size(MIB)
        traffic.finish(traffic.recv(far, 1, size), traffic.send(near, 1, size))
        t.keep(one.ns.connect(world.ADDRESS, listener.getsockname()[1]))


def framebridge(t, name, fds, *arguments):
    bridge = process.Process([f"{t.settings.bin}/framebridge", "--tap", IFNAME, "--netns",
                              t.guest.ns.path, *arguments], f"{t.directory}/{name}.log", t.host,
                             pass_fds=fds)
    t.cleanup.callback(bridge.kill)
    bridge.wait_output("ready\n")
    t.guest.ns.ip("link", "set", "dev", IFNAME, "address", t.guest.mac)
    t.guest.ns.ip("link", "set", "dev", IFNAME, "up")
    return bridge


@case(kinds=["stream"], start=False)
def test_stdio(t):
    """Frames on standard input and output; netproxy ends with them, as it has no other link."""
    to_proxy, from_proxy = os.pipe(), os.pipe()
    t.proxy.start("--link", "stdio", stdin=to_proxy[0], stdout=from_proxy[1])
    bridge = framebridge(t, "stdio", [from_proxy[0], to_proxy[1]], "--fds",
                         f"{from_proxy[0]},{to_proxy[1]}")
    for fd in to_proxy + from_proxy:
        os.close(fd)
    t.guest.dhcp()
    talk(t, t.guest)
    bridge.kill()
    assert t.proxy.process.wait() == 0
    t.proxy.process = None


@case(kinds=["stream"], start=False)
def test_inherited_descriptors(t):
    """One end of a socketpair, of each type that keeps borders; a guest on the other, which moves. Only the first
    type says when it has gone."""
    pairs = [socket.socketpair(socket.AF_UNIX, kind)
             for kind in (socket.SOCK_SEQPACKET, socket.SOCK_DGRAM)]
    for pair in pairs:
        t.keep(*pair)
    ours = [pair[0].fileno() for pair in pairs]
    t.proxy.start("--link", f"fd:{ours[0]}", "--link", f"fd:{ours[1]},framing=dgram",
                  pass_fds=ours)
    for index, (near, far) in enumerate(pairs):
        near.close()
        bridge = framebridge(t, f"fd{index}", [far.fileno()], "--fds",
                             f"{far.fileno()},{far.fileno()}")
        t.guest.dhcp()
        talk(t, t.guest)
        bridge.kill()
        far.close()
        wait.until(lambda: IFNAME not in t.guest.ns.ip("-o", "link"), "the guest's tap to go")


@case(kinds=["tap"], start=False)
def test_tap_by_pid(t):
    """A namespace is named by a process in it, too."""
    sleeper = process.Process(["sleep", "1000"], f"{t.directory}/sleep.log", t.guest.ns)
    t.cleanup.callback(sleeper.kill)
    t.proxy.start("--link", f"tap:{IFNAME},netns={sleeper.pid}")
    t.guest.attach()
    t.guest.dhcp()
    talk(t, t.guest)


@case(links=("stream", "vfkit", "qemu-listen"), timeout=60)
def test_connections_outlive_a_drop(t):
    """A guest whose VMM reconnects: its connections go on, both ways, and so does what a datagram socket heard."""
    near, far = t.pair()
    far.sendall(b"before")
    assert traffic.read_exactly(near, 6) == b"before"
    echo = t.world.udp(world.ADDRESS)
    t.serve(traffic.UdpEcho(echo))
    sock = t.keep(t.guest.ns.udp())
    sock.settimeout(5 * wait.slowness)
    sock.sendto(b"x", echo.getsockname())
    assert sock.recv(10) == b"x"
    address = t.guest.address
    t.guest.detach()
    far.sendall(b"meanwhile")
    t.guest.attach()
    t.guest.ns.ip("addr", "add", f"{address}/24", "dev", IFNAME)
    t.guest.ns.ip("route", "add", "default", "via", GATEWAY)
    near.settimeout(10 * wait.slowness)
    assert traffic.read_exactly(near, 9) == b"meanwhile"
    near.sendall(b"after")
    assert traffic.read_exactly(far, 5) == b"after"
    assert "#2: attached" in t.proxy.log()
