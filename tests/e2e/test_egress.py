# SPDX-License-Identifier: Apache-2.0
"""Guests' connections by way of the host's HTTP proxy."""

import socket
import time

from bed import connect_proxy, traffic, wait, world
from bed.cases import MAIN, MIB, STREAM, case
from bed.proxy import ALIAS
from bed.world import ADDRESS, HOST_ADDRESS

PORT = 3128
PROXY = f"http://user:secret@{ADDRESS}:{PORT}"
HTTPS_HOST = "10.78.1.1"
HTTP_HOST = "10.78.1.2"
EXCEPTION = "10.78.2.1"


def start_proxy(t):
    proxy = t.serve(connect_proxy.ConnectProxy(t.world, ADDRESS, PORT))
    proxy.route = {"secure.test:443": (HTTPS_HOST, 443), "direct.test:443": (HTTPS_HOST, 443),
                   "plain.test:80": (HTTP_HOST, 80)}
    return proxy


def start_servers(t):
    t.serve(connect_proxy.WhoServer(t.world.listen(port=443), connect_proxy.certificate(t.directory, t.world)))
    t.serve(connect_proxy.WhoServer(t.world.listen(port=80)))


def curl(t, url, address, check=True):
    """Asks a server of the world, which says who came, or None where that failed."""
    scheme, host = url.rstrip("/").split("://")
    port = 443 if scheme == "https" else 80
    done = t.guest.ns.run("curl", "-sk", "--noproxy", "*", "--max-time", str(int(10 * wait.slowness)),
                          "--resolve", f"{host}:{port}:{address}", url, check=check)
    return done.stdout if done.returncode == 0 else None


def by_proxy(who):
    return who is not None and who != HOST_ADDRESS


@case(links=MAIN, args=["--http-proxy", PROXY])
def test_https_and_http(t):
    """Both go by CONNECT, to the names that the guest gives, with the password."""
    proxy = start_proxy(t)
    start_servers(t)
    assert by_proxy(curl(t, "https://secure.test/", HTTPS_HOST))
    assert by_proxy(curl(t, "http://plain.test/", HTTP_HOST))
    assert by_proxy(curl(t, f"https://{HTTPS_HOST}/", HTTPS_HOST)), "without a name"
    assert proxy.targets() == ["secure.test:443", "plain.test:80", f"{HTTPS_HOST}:443"], proxy.requests
    for head in proxy.requests:
        assert "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in head, head
    # Other ports have nothing to do with it.
    client, far = t.pair()
    assert far.getpeername()[0] == HOST_ADDRESS
    traffic.one_way(client, far, MIB)
    assert len(proxy.requests) == 3, proxy.requests


@case(links=STREAM, args=["--http-proxy", PROXY, "--no-proxy", f"10.78.2.0/24,.direct.test,{ADDRESS}"])
def test_exceptions(t):
    """By address and by name; the first never see the proxy."""
    proxy = start_proxy(t)
    start_servers(t)
    assert curl(t, "https://any.test/", EXCEPTION) == HOST_ADDRESS
    assert curl(t, "http://any.test/", EXCEPTION) == HOST_ADDRESS
    assert curl(t, "https://direct.test/", HTTPS_HOST) == HOST_ADDRESS
    assert curl(t, "http://www.direct.test/", HTTP_HOST) == HOST_ADDRESS
    assert not proxy.requests, proxy.requests
    assert by_proxy(curl(t, "https://secure.test/", HTTPS_HOST))


@case(links=STREAM, args=["--http-proxy", "none", "--https-proxy", PROXY])
def test_https_only(t):
    proxy = start_proxy(t)
    start_servers(t)
    assert curl(t, "http://plain.test/", HTTP_HOST) == HOST_ADDRESS
    assert by_proxy(curl(t, "https://secure.test/", HTTPS_HOST))
    assert proxy.targets() == ["secure.test:443"], proxy.requests


@case(links=STREAM, args=["--http-proxy", PROXY])
def test_refused_by_the_proxy(t):
    """The guest's connection is reset, and the log says what the proxy said."""
    proxy = start_proxy(t)
    start_servers(t)
    proxy.refuse = {"secure.test:443": "407 Proxy Authentication Required",
                    "plain.test:80": "403 Only 443 here"}
    assert curl(t, "https://secure.test/", HTTPS_HOST, check=False) is None
    assert curl(t, "http://plain.test/", HTTP_HOST, check=False) is None
    for words in ("secure.test:443: 407 Proxy Authentication Required", "plain.test:80: 403 Only 443 here"):
        assert words in t.proxy.log(), t.proxy.log()
    assert "secret" not in t.proxy.log() and "dXNlcjpzZWNyZXQ" not in t.proxy.log()


@case(links=STREAM, args=["--http-proxy", PROXY])
def test_no_proxy_there(t):
    """A proxy that refuses or can't be reached is as a destination that does."""
    start = time.monotonic()
    try:
        t.guest.ns.connect(HTTPS_HOST, 443).close()
        raise AssertionError("connected without a proxy")
    except ConnectionRefusedError:
        pass
    assert time.monotonic() - start < 1 * wait.slowness
    assert f"can't be reached at {ADDRESS}:{PORT}: Connection refused" in t.proxy.log()


@case(links=STREAM, args=["--http-proxy", PROXY])
def test_server_that_speaks_first(t):
    """A guest that waits for the server gets it by its address, after a moment."""
    proxy = start_proxy(t)
    t.serve(connect_proxy.Greeter(t.world.listen(port=443)))
    sock = t.keep(t.guest.ns.connect(HTTPS_HOST, 443))
    sock.settimeout(5 * wait.slowness)
    assert traffic.read_exactly(sock, 6) == b"hello\n"
    sock.sendall(b"12345")
    assert traffic.read_exactly(sock, 5) == b"12345"
    assert proxy.targets() == [f"{HTTPS_HOST}:443"], proxy.requests


@case(links=MAIN, args=["--http-proxy", PROXY])
def test_bulk_through_the_proxy(t):
    """Not a byte is lost between the proxy's answer and the tunnel, in either direction."""
    start_proxy(t)
    size = t.size(8 * MIB)
    with t.world.listen(port=443) as listener:
        client = t.keep(t.guest.ns.connect(HTTPS_HOST, 443))
        upload = traffic.send(client, 1, size)
        far = t.keep(traffic.accept(listener))
        traffic.finish(traffic.recv(far, 1, size), upload)
        client = t.keep(t.guest.ns.connect(HTTPS_HOST, 443))
        far = t.keep(traffic.accept(listener))
        traffic.one_way(far, client, size, 2)


@case(links=STREAM, args=["--http-proxy", PROXY])
def test_alias_goes_directly(t):
    proxy = start_proxy(t)
    with t.host.listen("127.0.0.1", 443) as listener:
        client = t.keep(t.guest.ns.connect(ALIAS, 443))
        client.sendall(b"x")
        with traffic.accept(listener) as far:
            assert far.recv(1) == b"x"
    assert not proxy.requests


@case(links=STREAM, args=["--http-proxy", PROXY])
def test_many_at_once(t):
    """200 guests' connections that wait for their servers, and nothing left behind."""
    before = t.settled_fds()
    start_proxy(t)
    t.serve(connect_proxy.Greeter(t.world.listen(port=443)))
    socks = [t.keep(t.guest.ns.connect(world.MANY % (n, 1), 443)) for n in range(1, 201)]
    for sock in socks:
        sock.settimeout(10 * wait.slowness)
        assert traffic.read_exactly(sock, 6) == b"hello\n"
        sock.sendall(b"12345")
        assert traffic.read_to_end(sock) == b"12345"
        sock.close()
    t.expect_fds(before)


@case(links=STREAM, start=False)
def test_proxy_with_a_name(t):
    """Its name is looked up as the host does; one that nobody knows makes guests wait, not fail."""
    proxy = t.serve(connect_proxy.ConnectProxy(t.host, "127.0.0.1", PORT))
    t.start("--http-proxy", f"http://localhost:{PORT}", "--https-proxy", "http://nobody.invalid:1")
    start_servers(t)
    assert curl(t, f"http://{HTTP_HOST}/", HTTP_HOST) is not None
    assert proxy.targets() == [f"{HTTP_HOST}:80"], proxy.requests
    sock = t.keep(t.guest.ns.socket())
    sock.setblocking(False)
    sock.connect_ex((HTTPS_HOST, 443))
    wait.until(lambda: "nobody.invalid has no address" in t.proxy.log(), "the log to say it", 40)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
