# SPDX-License-Identifier: Apache-2.0
"""The API inside the network: a guest that calls the gateway's port 80, as Podman does in a machine."""

import json

from bed import traffic, wait
from bed.cases import MAIN, STREAM, case
from bed.proxy import FIRST_GUEST, GATEWAY

EXPOSE = "/services/forwarder/expose"
UNEXPOSE = "/services/forwarder/unexpose"


def call(t, path, body=None, host="gateway.containers.internal", guest=None):
    """(status, body) of a request from within a guest, by the name that Podman uses."""
    argv = ["curl", "-sS", "--max-time", str(20 * wait.slowness), "-w", "\n%{http_code}",
            "--resolve", f"{host}:80:{GATEWAY}", f"http://{host}{path}"]
    if body is not None:
        argv += ["-d", body if isinstance(body, str) else json.dumps(body)]
    text, status = (guest or t.guest).ns.run(*argv).stdout.rsplit("\n", 1)
    return int(status), text


@case(links=MAIN)
def test_podman(t):
    """What Podman says for `podman run -p 9001:80`, word for word, and that the page is there."""
    t.keep(t.guest.ns.listen("0.0.0.0", 80))
    assert call(t, EXPOSE, {"local": ":9001", "remote": ":80", "protocol": "tcp"}) == (200, "")
    expected = [{"local": ":9001", "remote": f"{FIRST_GUEST}:80", "protocol": "tcp"}]
    assert t.proxy.forwards() == expected
    assert json.loads(call(t, "/services/forwarder/all")[1]) == expected
    t.keep(t.host.connect("127.0.0.1", 9001))
    assert call(t, UNEXPOSE, {"local": ":9001", "protocol": "tcp"}) == (200, "")
    assert t.proxy.forwards() == []


@case(links=STREAM)
def test_udp_and_its_own_address(t):
    assert call(t, EXPOSE, {"local": "127.0.0.1:9002", "remote": f"{FIRST_GUEST}:53", "protocol": "udp"}) == (200, "")
    assert t.proxy.forwards()[0]["protocol"] == "udp"


@case(kinds=["stream", "stream"])
def test_what_a_guest_may_not(t):
    """Other guests' ports and forwards, unix sockets, names, the host's part of the API."""
    t.proxy.expose("127.0.0.1:9001", f"{FIRST_GUEST}:80")
    status, text = call(t, UNEXPOSE, {"local": "127.0.0.1:9001", "protocol": "tcp"})
    assert (status, text) == (500, "proxy not found\n"), (status, text)
    second = t.guests[1]
    assert call(t, EXPOSE, {"local": "127.0.0.1:9002", "remote": ":80"}, guest=second) == (200, "")
    status, text = call(t, UNEXPOSE, {"local": "127.0.0.1:9002", "protocol": "tcp"})
    assert (status, text) == (500, "proxy not found\n"), (status, text)
    assert json.loads(call(t, "/services/forwarder/all")[1]) == []
    for body in ({"local": "127.0.0.1:9003", "remote": "192.168.65.3:80"},
                 {"local": "/tmp/np-e2e-guest.sock", "remote": f"tcp://{FIRST_GUEST}:80", "protocol": "unix"}):
        status, text = call(t, EXPOSE, body)
        assert status == 403, f"{body}: {status} {text}"
    for path in ("/stats", "/leases", "/cam", "/v1/events", "/metrics", "/v1/pcap", "/tunnel?ip=1.2.3.4&port=1"):
        status, text = call(t, path)
        assert status in (403, 404), f"{path}: {status} {text}"
    assert len(t.proxy.forwards()) == 2


@case(links=STREAM, args=("--guest-publish", "127.0.0.1:9000-9010"))
def test_policy(t):
    assert call(t, EXPOSE, {"local": "127.0.0.1:9001", "remote": ":80"})[0] == 200
    for local in (":9002", "127.0.0.1:80", "127.0.0.1:9011"):
        status, text = call(t, EXPOSE, {"local": local, "remote": ":80"})
        assert status == 403 and text.strip(), f"{local}: {status} {text}"


@case(links=STREAM, args=("--no-guest-api",))
def test_turned_off(t):
    with socket_of(t) as sock:
        try:
            sock.connect((GATEWAY, 80))
        except ConnectionRefusedError:
            return
    raise AssertionError("the gateway's port 80 is there despite --no-guest-api")


def socket_of(t):
    sock = t.guest.ns.socket()
    sock.settimeout(10 * wait.slowness)
    return sock


@case(links=STREAM)
def test_survives_a_restart(t):
    """What a guest published is there again after a restart, and is still its own."""
    state = f"{t.proxy.directory}/state.json"
    t.proxy.finish()
    t.start("--state", state)
    assert call(t, EXPOSE, {"local": "127.0.0.1:9001", "remote": ":80"})[0] == 200
    t.proxy.finish()
    t.start("--state", state)
    assert t.proxy.forwards() == [{"local": "127.0.0.1:9001", "remote": f"{FIRST_GUEST}:80", "protocol": "tcp"}]
    assert call(t, UNEXPOSE, {"local": "127.0.0.1:9001", "protocol": "tcp"}) == (200, "")


@case(links=STREAM)
def test_hostile(t):
    """100 MB of JSON, a request byte by byte, ten thousand connections: the host's side doesn't notice."""
    before = t.proxy.rss_kib()
    sock = t.keep(t.guest.ns.connect(GATEWAY, 80))
    sock.settimeout(20 * wait.slowness)
    try:
        sock.sendall(b"POST " + EXPOSE.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n")
        for _ in range(t.size(100 << 20) >> 20):
            sock.sendall(b"[" * (1 << 20))
    except (BrokenPipeError, ConnectionResetError):
        pass
    trickle = t.keep(t.guest.ns.connect(GATEWAY, 80))
    for byte in b"POST /services/forwarder/expose HTTP/1.1\r\n":
        trickle.sendall(bytes([byte]))
    many = [t.keep(t.guest.ns.connect(GATEWAY, 80)) for _ in range(300)]
    assert len(many) == 300
    assert t.proxy.forwards() == []
    assert call(t, EXPOSE, {"local": "127.0.0.1:9001", "remote": ":80"})[0] == 200
    assert t.proxy.get("/stats")["BytesSent"] >= 0
    grown = t.proxy.rss_kib() - before
    assert grown < t.rss_bound_kib(24), f"a hostile guest made netproxy grow by {grown} KiB"
    for sock in many:
        sock.close()
    t.expect_fds(40)
    client, far = t.pair()
    traffic.one_way(client, far, 1 << 20)


@case(links=STREAM)
def test_ten_thousand_forwards(t):
    """A guest gets its share, an error beyond it, and the host can publish still."""
    refused = 0
    for first in range(20000, 30000, 1000):
        body = {"local": f"127.0.0.1:{first}-{first + 999}", "remote": ":80-1079"}
        status, text = call(t, "/v1/forwards", body)
        if status != 200:
            refused += 1
            assert status == 403 and json.loads(text)["error"]["code"] == "too_many", (status, text)
    assert refused >= 5 and len(t.proxy.forwards()) <= 5000
    t.proxy.expose("127.0.0.1:9001", f"{FIRST_GUEST}:80")
    status, text = call(t, EXPOSE, {"local": "127.0.0.1:9002", "remote": ":80"})
    assert len(t.proxy.forwards()) > 1 and status in (200, 403, 500), (status, text)
