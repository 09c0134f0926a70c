# SPDX-License-Identifier: Apache-2.0
"""netproxy-agent in a guest: what listens there is published, for as long as it listens and the agent lives."""

import signal
import socket

from bed import process, traffic, wait
from bed.cases import MAIN, STREAM, case
from bed.proxy import GATEWAY

FORWARDS = "/v1/forwards"


def agent(t, *args, way="gateway"):
    """Starts the agent in the guest."""
    made = process.Process([f"{t.settings.bin}/netproxy-agent", "publish", "--api", way, "--interval", "100",
                            "--log-level", "debug", *args],
                           f"{t.directory}/agent.log", t.guest.ns)
    t.cleanup.callback(made.kill)
    return made


def ports(t, protocol="tcp"):
    return sorted(int(one["bound"].rsplit(":", 1)[1]) for one in t.proxy.get(FORWARDS)
                  if one["protocol"] == protocol)


def expect(t, wanted, protocol="tcp"):
    wait.until(lambda: ports(t, protocol) == sorted(wanted),
               f"{wanted} to be published (it's {ports(t, protocol)})")


def fetch(t, listener, port, address="127.0.0.1"):
    """Something goes from the host to the listener, and back."""
    ours = t.keep(t.host.connect(address, port))
    theirs = t.keep(traffic.accept(listener))
    traffic.one_way(ours, theirs, 1 << 20)
    theirs.sendall(b"back")
    assert traffic.read_exactly(ours, 4) == b"back"
    ours.close()
    theirs.close()


@case(links=MAIN)
def test_comes_and_goes(t):
    """A port is published when something listens, and no more when it doesn't; clients reach it."""
    agent(t)
    expect(t, [])
    listener = t.guest.ns.listen(port=8080)
    expect(t, [8080])
    [one] = t.proxy.get(FORWARDS)
    assert (one["bound"], one["owner"], one["lease"]) == ("127.0.0.1:8080", "guest", "connection"), one
    fetch(t, listener, 8080)
    other = t.guest.ns.listen(address="::", port=8081)
    udp = t.guest.ns.udp(port=5000)
    expect(t, [8080, 8081])
    expect(t, [5000], "udp")
    fetch(t, other, 8081)
    ours = t.keep(t.host.socket(socket.SOCK_DGRAM))
    ours.sendto(b"ping", ("127.0.0.1", 5000))
    udp.settimeout(10 * wait.slowness)
    assert udp.recv(100) == b"ping"
    listener.close()
    udp.close()
    expect(t, [8081])
    expect(t, [], "udp")
    other.close()
    expect(t, [])


@case(links=STREAM)
def test_default_policy(t):
    """What is privileged, on the loopback, connected or a client's is left alone."""
    kept = t.keep(t.guest.ns.listen(port=80), t.guest.ns.listen("127.0.0.1", 9000),
                  t.guest.ns.listen("::1", 9001), t.guest.ns.udp(port=68), t.guest.ns.udp(port=40000),
                  t.guest.ns.listen(port=7000))
    agent(t)
    expect(t, [7000])
    expect(t, [], "udp")
    del kept


@case(links=STREAM)
def test_rules(t):
    """Only what is included, and never what is excluded."""
    t.keep(t.guest.ns.listen(port=80), t.guest.ns.listen(port=8000), t.guest.ns.listen(port=8001),
           t.guest.ns.listen(port=9000))
    agent(t, "--include", "80", "--include", "tcp:8000-8999", "--exclude", "8001", "--host-address", "any")
    expect(t, [80, 8000])
    assert all(one["local"].startswith(":") for one in t.proxy.get(FORWARDS))


@case(links=MAIN)
def test_loopback_relay(t):
    """With --loopback, what listens on the guest's loopback only is reached by a relay, and its end goes through."""
    listener = t.guest.ns.listen("127.0.0.1", 9000)
    agent(t, "--loopback")
    expect(t, [9000])
    fetch(t, listener, 9000)
    ours = t.keep(t.host.connect("127.0.0.1", 9000))
    theirs = t.keep(traffic.accept(listener))
    ours.shutdown(socket.SHUT_WR)
    assert theirs.recv(1) == b""
    theirs.sendall(b"still")
    assert traffic.read_exactly(ours, 5) == b"still"
    theirs.close()
    assert ours.recv(1) == b""
    listener.close()
    expect(t, [])


@case(links=STREAM)
def test_taken_on_the_host(t):
    """A port that the host uses is published once it is free, and that it isn't is said once."""
    taken = t.host.listen("127.0.0.1", 8080)
    listener = t.keep(t.guest.ns.listen(port=8080))
    t.keep(t.guest.ns.listen(port=8081))
    one = agent(t)
    expect(t, [8081])
    one.wait_output("tcp port 8080 can't be published")
    taken.close()
    wait.until(lambda: ports(t) == [8080, 8081], "8080 to be published", timeout=20)
    assert one.output().count("can't be published") == 1, one.output()
    fetch(t, listener, 8080)


@case(links=STREAM)
def test_ends(t):
    """Whether it is stopped or killed, what it published goes with it."""
    t.keep(*(t.guest.ns.listen(port=8000 + i) for i in range(50)))
    one = agent(t)
    expect(t, range(8000, 8050))
    assert one.stop() == 0
    expect(t, [])
    one = agent(t)
    expect(t, range(8000, 8050))
    one.send_signal(signal.SIGKILL)
    one.wait()
    expect(t, [])


@case(links=("tap",))
def test_netproxy_restarts(t):
    """After a restart of netproxy everything is published again."""
    listener = t.keep(t.guest.ns.listen(port=8080))
    one = agent(t, way=f"unix:{t.proxy.api}")
    expect(t, [8080])
    t.proxy.finish()
    one.wait_output("trying again")
    t.start()
    expect(t, [8080])
    fetch(t, listener, 8080)
    assert one.output().count("trying again") == 1, one.output()


@case(links=STREAM)
def test_memory(t):
    """A thousand ports come and go, and take no memory that stays."""
    one = agent(t, "--include", "20000-30000", "--protocol", "tcp")
    listeners = [t.guest.ns.listen(port=20000 + i, backlog=1) for i in range(200)]
    expect(t, range(20000, 20200))
    before = process.rss_kib(one.pid)
    for _ in range(3):
        for sock in listeners:
            sock.close()
        expect(t, [])
        listeners = [t.guest.ns.listen(port=20000 + i, backlog=1) for i in range(200)]
        expect(t, range(20000, 20200))
    grown = process.rss_kib(one.pid) - before
    # A sanitizer keeps freed memory for a while, and finds leaks in its own way.
    assert t.settings.sanitized or grown < 1024, f"{grown} KiB more"
    assert process.fd_count(one.pid) < 16
    t.keep(*listeners)
