# SPDX-License-Identifier: Apache-2.0
"""What guests may reach: the rules, and how a guest hears of them."""

import contextlib
import errno
import json
import socket

from bed import traffic, wait, world
from bed.cases import case
from bed.proxy import ALIAS, GATEWAY

METADATA = "169.254.169.254"
GATEWAY6 = "fd65:6e70:7879::1"


@contextlib.contextmanager
def metadata_service(t):
    """The world answers as a cloud's metadata service would."""
    t.world.ip("addr", "add", f"{METADATA}/32", "dev", "lo")
    t.host.ip("route", "add", METADATA, "via", world.ADDRESS)
    listener = t.world.listen(METADATA, 80)
    try:
        yield traffic.TcpEcho(listener)
    finally:
        t.host.ip("route", "del", METADATA)
        t.world.ip("addr", "del", f"{METADATA}/32", "dev", "lo")


def refusal(t, address, port, guest=None, family=socket.AF_INET):
    """The errno of a connect that must fail at once, or None."""
    sock = t.keep((guest or t.guest).ns.socket(family=family))
    sock.settimeout(3 * wait.slowness)
    try:
        sock.connect((address, port))
    except TimeoutError:
        raise AssertionError(f"a connect to {address} port {port} was ignored, not refused") from None
    except OSError as error:
        return error.errno
    return None


def udp_refusal(t, address, port):
    sock = t.keep(t.guest.ns.udp())
    sock.settimeout(3 * wait.slowness)
    sock.connect((address, port))
    try:
        sock.send(b"anybody?")
        sock.recv(100)
    except TimeoutError:
        return "silence"
    except OSError as error:
        return error.errno
    return None


def hits(t):
    return {rule["rule"]: rule["hits"] for rule in t.proxy.get("/v1/policy")}


@case(links=("tap", "stream"))
def test_metadata_is_denied(t):
    with metadata_service(t) as server, server:
        done = t.guest.ns.run("curl", "-sS", "--max-time", "5", f"http://{METADATA}/latest/meta-data/",
                              check=False)
        assert done.returncode == 7 and "Could not connect" in done.stderr.replace("Couldn't", "Could not"), done
        assert refusal(t, METADATA, 80) == errno.EHOSTUNREACH
        assert udp_refusal(t, METADATA, 80) == errno.EHOSTUNREACH
        ping = t.guest.ns.run("ping", "-n", "-c", "1", "-W", "2", METADATA, check=False).stdout
        assert f"From {GATEWAY}" in ping and "Packet filtered" in ping, ping
        assert not server.peers, "somebody reached the metadata service"
    assert hits(t)["deny 169.254.0.0/16"] >= 4
    assert t.proxy.get("/stats")["Policy"]["Denied"] >= 4
    assert f"denied: guest {t.guest.address} to tcp:{METADATA}:80" in t.proxy.log()
    assert refusal(t, "168.63.129.16", 80) == errno.EHOSTUNREACH


@case(links=("tap",), args=["--allow", "any", "--allow", f"tcp:{METADATA}:80"])
def test_metadata_by_its_name(t):
    """Only a rule that names the address opens it, and only what it says."""
    with metadata_service(t) as server, server:
        sock = t.keep(t.guest.ns.connect(METADATA, 80))
        sock.sendall(b"role?")
        assert traffic.read_exactly(sock, 5) == b"role?"
        assert refusal(t, METADATA, 81) == errno.EHOSTUNREACH
        assert refusal(t, "169.254.1.1", 80) == errno.EHOSTUNREACH


@case(links=("tap",))
def test_ipv6_metadata(t):
    t.guest.ns.ip("-6", "addr", "add", "fd65:6e70:7879::77/64", "dev", "eth0", "nodad")
    t.guest.ns.ip("-6", "route", "replace", "default", "via", GATEWAY6, "dev", "eth0", "metric", "1")
    assert refusal(t, "fd00:ec2::254", 80, family=socket.AF_INET6) == errno.EACCES
    assert hits(t)["deny fd00:ec2::/32"] >= 1


@case(links=("tap", "stream"), args=["--allow", "tcp:10.78.0.1", "--deny", "10.78.0.0/16", "--deny", "udp:any:9999"])
def test_first_match(t):
    listener = t.keep(t.world.listen())
    port = listener.getsockname()[1]
    assert refusal(t, "10.78.0.1", port) is None
    assert refusal(t, "10.78.0.2", port) == errno.EHOSTUNREACH
    assert refusal(t, world.ADDRESS, port) is None
    # By protocol: TCP to the first is allowed, echo isn't.
    assert not t.guest.ping("10.78.0.1", deadline=1)
    assert t.guest.ping(world.ADDRESS)
    echo, other = t.world.udp(port=9999), t.world.udp(port=9998)
    t.serve(traffic.UdpEcho(echo, other))
    assert udp_refusal(t, world.ADDRESS, 9998) is None
    assert udp_refusal(t, world.ADDRESS, 9999) == errno.EHOSTUNREACH
    assert hits(t)["deny udp:any:9999"] == 1
    listed = t.host.run(f"{t.settings.bin}/netproxyctl", "--api", t.proxy.api, "policy").stdout
    assert "deny 10.78.0.0/16" in listed and "allow any" in listed, listed


@case(links=("tap",), start=False)
def test_default_deny(t):
    """Nothing but what is allowed; DNS, DHCP and what comes in by published ports go on."""
    service = t.keep(t.host.listen("127.0.0.1"))
    open_port, other = service.getsockname()[1], t.keep(t.host.listen("127.0.0.1")).getsockname()[1]
    config = f"{t.directory}/config.json"
    with open(config, "w") as file:
        json.dump({"egress": "deny", "rule": [f"allow tcp:host:{open_port}", "allow icmp:10.77.0.2"]}, file)
    t.start("--config", config, "--publish", "127.0.0.1:8088:80")
    assert refusal(t, ALIAS, open_port) is None
    assert refusal(t, ALIAS, other) == errno.EHOSTUNREACH
    assert refusal(t, world.ADDRESS, 80) == errno.EHOSTUNREACH
    assert t.guest.ping(world.ADDRESS) and not t.guest.ping("10.78.0.1", deadline=1)
    assert t.guest.ping(GATEWAY)
    answer = t.guest.ns.run("dig", "+short", "+time=3", f"@{GATEWAY}", "a.test").stdout
    assert world.ADDRESS in answer, answer
    t.guest.dhcp()
    listener = t.keep(t.guest.ns.listen(port=80))
    client = t.keep(t.host.connect("127.0.0.1", 8088))
    far = t.keep(traffic.accept(listener))
    traffic.one_way(client, far, 1 << 20)


@case(kinds=["stream", "stream", "tap"], start=False)
def test_guests_by_link_and_mac(t):
    by_link, by_mac, free = t.guests
    t.start("--deny", f"any,from=qemu:{by_link.socket}", "--deny", f"10.78.0.0/16,from={by_mac.mac}")
    port = t.keep(t.world.listen()).getsockname()[1]
    assert refusal(t, world.ADDRESS, port, by_link) == errno.EHOSTUNREACH
    assert refusal(t, world.ADDRESS, port, by_mac) is None
    assert refusal(t, "10.78.0.1", port, by_mac) == errno.EHOSTUNREACH
    assert refusal(t, "10.78.0.1", port, free) is None
    # A link is a link, whoever is behind it now.
    by_link.detach()
    by_link.mac = "52:54:00:00:99:99"
    by_link.attach()
    by_link.dhcp()
    assert refusal(t, world.ADDRESS, port, by_link) == errno.EHOSTUNREACH


@case(links=("tap",), start=False)
def test_thousand_rules(t):
    """They cost nothing that one would notice: datagrams are answered by a cache."""
    rules = [f"deny 172.{16 + n // 256}.{n % 256}.0/24" for n in range(1000)]
    config = f"{t.directory}/config.json"
    with open(config, "w") as file:
        json.dump({"rule": [*rules, "deny udp:any:9999"]}, file)
    t.start("--config", config)
    echo = t.world.udp()
    t.serve(traffic.UdpEcho(echo))
    sock = t.keep(t.guest.ns.udp())
    sock.settimeout(5 * wait.slowness)
    for number in range(500):
        sock.sendto(b"%d" % number, (world.ADDRESS, echo.getsockname()[1]))
        assert sock.recv(100) == b"%d" % number
    assert udp_refusal(t, world.ADDRESS, 9999) == errno.EHOSTUNREACH
    assert refusal(t, "172.16.0.1", 80) == errno.EHOSTUNREACH
