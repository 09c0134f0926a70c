# SPDX-License-Identifier: Apache-2.0
"""The control API: its shapes and its errors."""

import json
import socket

from bed import traffic, wait
from bed.cases import STREAM, case
from bed.proxy import FIRST_GUEST

EXPOSE = "/services/forwarder/expose"
UNEXPOSE = "/services/forwarder/unexpose"


def expect(t, method, path, body, status, *texts):
    """An error: its status, and what its text contains; it is one line."""
    got, text = t.proxy.request(method, path, body)
    assert got == status, f"{method} {path} {body}: {got} {text!r} instead of {status}"
    for part in texts:
        assert part in text, f"{method} {path} {body}: {text!r} lacks {part!r}"
    assert text.endswith("\n") and text.strip(), f"{method} {path} {body}: {text!r} is not a line"


@case()
def test_empty(t):
    assert t.proxy.forwards() == []
    assert t.proxy.leases() == {}
    stats = t.proxy.get("/stats")
    assert stats["BytesSent"] >= 0 and stats["BytesReceived"] >= 0, stats


@case()
def test_sorted(t):
    """Forwards are listed by local address, then protocol."""
    for local, protocol in (("127.0.0.1:9002", "udp"), ("127.0.0.1:9001", "tcp"),
                            ("127.0.0.1:9002", "tcp")):
        t.proxy.expose(local, f"{FIRST_GUEST}:80", protocol)
    assert [(one["local"], one["protocol"]) for one in t.proxy.forwards()] == [
        ("127.0.0.1:9001", "tcp"), ("127.0.0.1:9002", "tcp"), ("127.0.0.1:9002", "udp")]


@case()
def test_default_protocol(t):
    t.proxy.post(EXPOSE, {"local": "127.0.0.1:9001", "remote": f"{FIRST_GUEST}:80"})
    assert t.proxy.forwards()[0]["protocol"] == "tcp"
    t.proxy.post(UNEXPOSE, {"local": "127.0.0.1:9001"})


@case()
def test_duplicate(t):
    body = {"local": "127.0.0.1:9001", "remote": f"{FIRST_GUEST}:80", "protocol": "tcp"}
    t.proxy.post(EXPOSE, body)
    expect(t, "POST", EXPOSE, {**body, "remote": f"{FIRST_GUEST}:81"}, 500, "proxy already running")
    assert t.proxy.forwards() == [body]


@case()
def test_unknown(t):
    expect(t, "POST", UNEXPOSE, {"local": "127.0.0.1:9001", "protocol": "tcp"}, 500,
           "proxy not found")
    t.proxy.expose("127.0.0.1:9001", f"{FIRST_GUEST}:80", "tcp")
    expect(t, "POST", UNEXPOSE, {"local": "127.0.0.1:9001", "protocol": "udp"}, 500,
           "proxy not found")


@case()
def test_port_taken(t):
    """The error says which address, and that it is in use."""
    t.keep(t.host.listen("127.0.0.1", 9001))
    expect(t, "POST", EXPOSE, {"local": "127.0.0.1:9001", "remote": f"{FIRST_GUEST}:80"}, 500,
           "listen tcp 127.0.0.1:9001: bind: address already in use")
    t.keep(t.host.udp("127.0.0.1", 9002))
    expect(t, "POST", EXPOSE, {"local": "127.0.0.1:9002", "remote": f"{FIRST_GUEST}:80",
                               "protocol": "udp"}, 500, "127.0.0.1:9002", "address already in use")
    assert t.proxy.forwards() == []


@case()
def test_bad_requests(t):
    good = {"local": "127.0.0.1:9001", "remote": f"{FIRST_GUEST}:80", "protocol": "tcp"}
    for path in (EXPOSE, UNEXPOSE):
        expect(t, "GET", path, None, 400)
        for body in ("", "{", "null", "[]", '"text"', "{}x", '{"local":7}'):
            expect(t, "POST", path, body, 400)
    for change in ({"remote": FIRST_GUEST}, {"remote": ":"}):
        expect(t, "POST", EXPOSE, {**good, **change}, 400)
    for change in ({"local": "127.0.0.1:99999"}, {"local": "300.0.0.1:80"},
                   {"protocol": "sctp"}, {"remote": f"{FIRST_GUEST}:http"}):
        status, text = t.proxy.request("POST", EXPOSE, {**good, **change})
        assert status in (400, 500) and text.strip(), f"{change}: {status} {text!r}"
    assert t.proxy.forwards() == []


@case()
def test_unknown_path(t):
    assert t.proxy.request("GET", "/no/such/path")[0] == 404


@case()
def test_curl(t):
    """The way that people try it first."""
    def curl(path, *options):
        return t.host.run("curl", "-sS", "--unix-socket", t.proxy.api, "-w", "\n%{http_code}",
                          *options, f"http://netproxy{path}").stdout.rsplit("\n", 1)
    body = json.dumps({"local": ":9001", "remote": f"{FIRST_GUEST}:80", "protocol": "tcp"})
    assert curl(EXPOSE, "-d", body) == ["", "200"]
    text, status = curl("/services/forwarder/all")
    assert (json.loads(text), status) == ([json.loads(body)], "200")
    assert curl(UNEXPOSE, "-d", '{"local":":9001","protocol":"tcp"}') == ["", "200"]


def raw_request(t, data, timeout=10):
    """What the server says to raw bytes until it closes or has nothing more to say."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout * wait.slowness)
        sock.connect(t.proxy.api)
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return traffic.read_to_end(sock)
        except (BrokenPipeError, ConnectionResetError):
            return b""


@case(links=STREAM)
def test_hostile_clients(t):
    """Bodies and headers without end, half requests and silence neither block others nor grow memory."""
    before = t.proxy.rss_kib()
    silent = [t.keep(socket.socket(socket.AF_UNIX)) for _ in range(20)]
    for number, sock in enumerate(silent):
        sock.settimeout(5)
        sock.connect(t.proxy.api)
        sock.sendall(b"POST /services/forwarder/expose HTTP/1.1\r\n"[:number * 2])
    raw_request(t, b"POST " + EXPOSE.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600"
                b"\r\n\r\n" + b"[" * (32 << 20))
    raw_request(t, b"GET / HTTP/1.1\r\nX: " + b"x" * (32 << 20))
    raw_request(t, b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\n\r\n")
    raw_request(t, b"\0" * 1000)
    raw_request(t, b"POST " + EXPOSE.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}")
    assert t.proxy.forwards() == []
    grown = t.proxy.rss_kib() - before
    assert grown < t.rss_bound_kib(16), f"hostile requests made netproxy grow by {grown} KiB"


@case(links=STREAM)
def test_traffic_beside_requests(t):
    """Requests and traffic don't hold each other up."""
    client, far = t.pair()
    sender, receiver = traffic.send(client, 1, t.size(512 << 20)), traffic.recv(far, 1, t.size(512 << 20))
    slowest = max(traffic.seconds(t.proxy.get, "/stats") for _ in range(50))
    traffic.finish(receiver, sender)
    assert slowest < 0.5 * wait.slowness, f"a request took {slowest:.2f} s beside a transfer"
