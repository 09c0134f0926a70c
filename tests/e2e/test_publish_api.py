# SPDX-License-Identifier: Apache-2.0
"""/v1/forwards end to end: who may, for how long, what is left after a restart, and how fast it is."""

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

from bed import process, traffic, wait
from bed.cases import MAIN, STREAM, case
from bed.guest import IFNAME
from bed.proxy import FIRST_GUEST

FORWARDS = "/v1/forwards"
EXPOSE = "/services/forwarder/expose"
UNEXPOSE = "/services/forwarder/unexpose"
MANY = 1000


class Client(http.client.HTTPConnection):
    """A client on one connection that stays."""

    def __init__(self, path):
        super().__init__("netproxy", timeout=10 * wait.slowness)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        self.request(method, path, json.dumps(body) if body is not None else None)
        answer = self.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if text else None


def client(t, path=None):
    made = Client(path or t.proxy.api)
    t.cleanup.callback(made.close)
    return made


def forward(port, guest_port=80, **more):
    return {"local": f"127.0.0.1:{port}", "remote": f"{FIRST_GUEST}:{guest_port}", **more}


def add(t, body, status=200):
    got, answer = client(t).ask("POST", FORWARDS, body)
    assert got == status, (body, got, answer)
    return answer


def is_open(t, port, address="127.0.0.1"):
    try:
        t.host.connect(address, port).close()
        return True
    except ConnectionResetError:
        return True  # taken, and given up at once
    except ConnectionRefusedError:
        return False


def turned_away(t, port):
    """Connects, and expects to be reset."""
    try:
        with t.host.connect("127.0.0.1", port) as sock:
            return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def listed(t, **wanted):
    return [one for one in t.proxy.get(FORWARDS) if wanted.items() <= one.items()]


@case(links=STREAM)
def test_counters(t):
    """What goes through a forward is counted while it goes."""
    [made] = add(t, forward(8080, name="web"))
    assert made["bound"] == "127.0.0.1:8080" and made["owner"] == "host", made
    with t.guest.ns.listen(port=80) as listener:
        ours = t.keep(t.host.connect("127.0.0.1", 8080))
        guests = t.keep(traffic.accept(listener))
    ours.sendall(b"x" * 1000)
    traffic.read_exactly(guests, 1000)
    guests.sendall(b"y" * 300)
    traffic.read_exactly(ours, 300)
    [one] = listed(t, name="web")
    assert (one["connections"], one["active"], one["refused"]) == (1, 1, 0), one
    assert (one["bytesToGuest"], one["bytesToHost"]) == (1000, 300), one
    ours.close()
    guests.close()
    wait.until(lambda: listed(t, name="web")[0]["active"] == 0, "the connection to be over")
    assert turned_away(t, 8080)  # nobody listens in the guest any more
    [one] = listed(t, name="web")
    assert (one["connections"], one["refused"], one["active"]) == (2, 1, 0), one


@case(links=STREAM)
def test_picked_port(t):
    """Port 0 picks one, and says which in the answer, the list and the log."""
    [made] = add(t, forward(0))
    port = int(made["bound"].rsplit(":", 1)[1])
    assert port and made["local"] == made["bound"] and listed(t, bound=made["bound"])
    assert f"published tcp 127.0.0.1:{port} ->" in t.proxy.log()
    assert is_open(t, port)


@case(links=STREAM)
def test_range(t):
    """All ports of a range lead each to its own, and all or none are opened."""
    taken = t.host.listen("127.0.0.1", 9009)
    answer = add(t, {"local": "127.0.0.1:9000-9009", "remote": f"{FIRST_GUEST}:700"}, 409)
    assert answer["error"]["errno"] == "EADDRINUSE" and "127.0.0.1:9009" in answer["error"]["message"], answer
    assert not listed(t) and not is_open(t, 9000)
    taken.close()
    assert len(add(t, {"local": "127.0.0.1:9000-9009", "remote": f"{FIRST_GUEST}:700-709",
                       "protocol": "tcp+udp"})) == 20
    for number in (0, 9):
        with t.guest.ns.listen(port=700 + number) as listener:
            ours = t.keep(t.host.connect("127.0.0.1", 9000 + number))
            traffic.one_way(ours, t.keep(traffic.accept(listener)), 1 << 20)
    status, answer = client(t).ask("DELETE", f"{FORWARDS}?local=127.0.0.1:9005&protocol=udp")
    assert (status, answer) == (200, {"removed": 1}) and len(listed(t)) == 19


@case(links=MAIN, dhcp=False)
def test_guest_by_name(t):
    """A forward to a name leads to whoever has it when a client comes."""
    add(t, {"local": "127.0.0.1:8080", "remote": "web:80"})
    assert turned_away(t, 8080)
    t.guest.dhcp("-x", "hostname:web")
    with t.guest.ns.listen(port=80) as listener:
        ours = t.keep(t.host.connect("127.0.0.1", 8080))
        traffic.one_way(ours, t.keep(traffic.accept(listener)), 1 << 20)


@case(links=STREAM)
def test_unix_socket(t):
    """A unix socket of the host's leads to the guest; a dead one is taken over, a live one isn't."""
    path = f"{t.directory}/web.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.close()
    body = {"local": path, "remote": f"tcp://{FIRST_GUEST}:80", "protocol": "unix"}
    t.proxy.post(EXPOSE, body)
    with t.guest.ns.listen(port=80) as listener:
        ours = t.keep(socket.socket(socket.AF_UNIX))
        ours.connect(path)
        guests = t.keep(traffic.accept(listener))
    traffic.one_way(ours, guests, 1 << 20)
    traffic.one_way(guests, ours, 1 << 20)
    assert t.proxy.forwards() == [body]
    t.proxy.post(UNEXPOSE, body)
    assert not os.path.exists(path)
    live = t.keep(socket.socket(socket.AF_UNIX))
    live.bind(path)
    live.listen()
    answer = add(t, body, 409)
    assert answer["error"]["errno"] == "EADDRINUSE", answer


@case(links=STREAM)
def test_conflicts(t):
    """Who is in the way is said: a forward of ours, with its owner, or the host."""
    add(t, forward(8080))
    add(t, forward(8080))  # again: the same
    assert len(listed(t)) == 1
    answer = add(t, forward(8080, 81), 409)["error"]
    assert (answer["code"], answer["errno"], answer["holder"]) == ("already_running", "EEXIST", "the host's API")
    answer = add(t, {"local": ":8080", "remote": ":80"}, 409)["error"]
    assert (answer["errno"], answer["holder"]) == ("EADDRINUSE", "the host's API"), answer
    status, text = t.proxy.request("POST", EXPOSE, forward(8080))
    assert (status, text) == (500, "proxy already running\n")
    t.keep(t.host.listen("127.0.0.1", 9001))
    t.keep(t.host.udp("0.0.0.0", 9001))
    ourselves = open("/proc/self/comm").read().strip() + f" (pid {os.getpid()})"
    for protocol in ("tcp", "udp"):
        answer = add(t, forward(9001, protocol=protocol), 409)["error"]
        assert (answer["errno"], answer["holder"]) == ("EADDRINUSE", ourselves), answer
    status, text = t.proxy.request("POST", EXPOSE, forward(9001))
    assert (status, text) == (500, "listen tcp 127.0.0.1:9001: bind: address already in use\n")


@case(links=STREAM)
def test_lease(t):
    """A forward bound to a connection lasts as long as that does, however its client ends."""
    one = client(t)
    assert one.ask("POST", FORWARDS, forward(8080, lease="connection"))[0] == 200
    assert one.ask("POST", FORWARDS, forward(8081, lease="connection"))[0] == 200
    assert is_open(t, 8080) and len(listed(t, lease="connection")) == 2
    one.close()
    wait.until(lambda: not listed(t), "the forwards to end with their connection")
    assert not is_open(t, 8080) and not is_open(t, 8081)


_MANY_LEASES = """
import http.client, json, socket, sys
path, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
conn = http.client.HTTPConnection("netproxy")
conn.sock = socket.socket(socket.AF_UNIX)
conn.sock.connect(path)
for port in range(first, first + count):
    conn.request("POST", "/v1/forwards", json.dumps({"local": f"127.0.0.1:{port}", "remote": ":80",
                                                     "lease": "connection"}))
    answer = conn.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    print(port, flush=True)
"""


@case(links=STREAM)
def test_killed_client_leaves_no_orphan(t):
    """A client that is killed in the middle of a thousand leaves no port open."""
    before = t.settled_fds()
    argv = [sys.executable, "-c", _MANY_LEASES, t.proxy.api, "20000", "1000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as popen:
        for _ in range(200):
            assert popen.stdout.readline(), "the client ended by itself"
        popen.send_signal(signal.SIGKILL)
        popen.wait()
    wait.until(lambda: not listed(t), "no forward to be left")
    t.expect_fds(before)


def _raw(sock, requests, count):
    """Sends requests in a row on one connection, as a client written for speed does; all must succeed."""
    sock.sendall(requests)
    data = b""
    while data.count(b"HTTP/1.1 200 OK\r\n") < count:
        piece = sock.recv(1 << 20)
        assert piece, "the server closed"
        data += piece
        assert b"HTTP/1.1 5" not in data and b"HTTP/1.1 4" not in data, data[-500:]


def _message(path, body):
    text = json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(text), text)


def _thousand(first):
    bodies = [{"local": f"127.0.0.1:{port}", "remote": f"{FIRST_GUEST}:80"} for port in range(first, first + MANY)]
    return [_message(EXPOSE, body) for body in bodies], [_message(UNEXPOSE, body) for body in bodies]


def _raise_fd_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


@case(links=STREAM)
def test_thousand_forwards(t):
    """A thousand forwards come and go in less than a second, on one connection and on a thousand."""
    before = t.settled_fds()
    exposes, unexposes = _thousand(20000)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(t.proxy.api)
        start = time.monotonic()
        for text in exposes:
            _raw(sock, text, 1)
        for text in unexposes:
            _raw(sock, text, 1)
        one = time.monotonic() - start
    assert not listed(t)
    _raise_fd_limit()
    with contextlib.ExitStack() as stack:
        start = time.monotonic()
        socks = []
        for _ in range(MANY):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.settimeout(30)
            sock.connect(t.proxy.api)
            socks.append(sock)
        for texts in (exposes, unexposes):
            for sock, text in zip(socks, texts):
                sock.sendall(text)
            for sock in socks:
                assert sock.recv(4096).startswith(b"HTTP/1.1 200"), "refused"
        many = time.monotonic() - start
    assert not listed(t)
    t.expect_fds(before)
    print(f"{MANY} forwards: {one:.2f} s on one connection, {many:.2f} s on {MANY}", file=sys.stderr)
    bound = 1 * wait.slowness
    assert one < bound and many < bound, f"{one:.2f} s on one connection, {many:.2f} s on {MANY}"


def state_args(t):
    return ["--state", f"{t.directory}/state.json"]


def read_state(t):
    try:
        with open(f"{t.directory}/state.json") as file:
            return file.read()
    except FileNotFoundError:
        return ""


@case(links=STREAM, start=False)
def test_restart(t):
    """What the API and guests published is there again after a restart; leases and configuration aren't kept."""
    vsock = f"{t.directory}/vsock"
    args = [*state_args(t), "--vsock", vsock, "--publish", f"127.0.0.1:8000:{FIRST_GUEST}:80"]
    t.start(*args)
    add(t, forward(8080, name="web", proxy="v2"))
    add(t, {"local": "127.0.0.1:8090-8091", "remote": "web:80", "source": "gateway", "for": "me"})
    [picked] = add(t, forward(0))
    leased = client(t)
    assert leased.ask("POST", FORWARDS, forward(8081, lease="connection"))[0] == 200
    status, answer = client(t, vsock + "_6565").ask(
        "POST", FORWARDS, {"local": "127.0.0.1:8082", "remote": ":80", "for": "container 1"})
    assert status == 200, answer
    before = [one for one in t.proxy.get(FORWARDS) if "lease" not in one]
    assert t.proxy.process.stop(timeout=10) == 0
    mode = os.stat(f"{t.directory}/state.json").st_mode & 0o777
    assert mode == 0o600, oct(mode)
    again = t.new_proxy("again")
    again.start(*again.idle_link(), *args)
    t.proxy = again
    assert t.proxy.get(FORWARDS) == before
    assert is_open(t, 8080) and is_open(t, int(picked["bound"].rsplit(":", 1)[1])) and not is_open(t, 8081)
    assert len(listed(t, owner="config")) == 1
    assert client(t).ask("DELETE", f"{FORWARDS}?for={urllib.parse.quote('me')}") == (200, {"removed": 2})


@case(links=STREAM, start=False)
def test_killed_and_restarted(t):
    """The state is written soon after a change: a kill doesn't lose it."""
    t.start(*state_args(t))
    add(t, forward(8080))
    wait.until(lambda: "127.0.0.1:8080" in read_state(t), "the state to be written")
    t.proxy.kill()
    again = t.new_proxy("again")
    again.start(*again.idle_link(), *state_args(t))
    t.proxy = again
    assert is_open(t, 8080)


@case(links=STREAM, start=False)
def test_port_taken_at_restart(t):
    """A forward whose port is taken at the restart comes back when that is free."""
    t.start(*state_args(t))
    add(t, forward(8080))
    assert t.proxy.process.stop(timeout=10) == 0
    squatter = t.host.listen("127.0.0.1", 8080)
    again = t.new_proxy("again")
    again.start(*again.idle_link(), *state_args(t))
    t.proxy = again
    assert not listed(t) and "trying again" in t.proxy.log()
    squatter.close()
    wait.until(lambda: listed(t), "the forward to come back", 20)


@case(start=False)
def test_broken_state(t):
    """State that makes no sense is reported and kept aside; what of it is good is used."""
    good = {"owner": "host", "forward": {"local": "127.0.0.1:8080", "remote": f"{FIRST_GUEST}:80"}}
    bad = [{"owner": "root"}, {"owner": "guest", "guest": 7, "forward": good["forward"]},
           {"owner": "host", "forward": {"local": "x"}}, 7, None]
    with open(f"{t.directory}/state.json", "w") as file:
        json.dump({"version": 1, "forwards": [*bad, good]}, file)
    t.start(*state_args(t))
    assert [one["local"] for one in t.proxy.get(FORWARDS)] == ["127.0.0.1:8080"]
    assert re.search(r"state.json can't be used", t.proxy.log()), t.proxy.log()
    assert [name for name in os.listdir(t.directory) if name.startswith("state.json.")]


@case(links=STREAM, args=["--guest-publish", "127.0.0.1:9000-9999", "--guest-publish", "any:30000-30009"],
      start=False)
def test_guest_rules(t):
    """A guest publishes what the host lets it, its own ports only, and sees only its own."""
    vsock = f"{t.directory}/vsock"
    t.start("--vsock", vsock, *t.case.options["args"])
    guest = client(t, vsock + "_6565")
    add(t, forward(8000))
    assert guest.ask("POST", FORWARDS, {"local": "127.0.0.1:9000", "remote": ":80"})[0] == 200
    assert guest.ask("POST", FORWARDS, {"local": ":30005", "remote": ":80"})[0] == 200
    for body in ({"local": "127.0.0.1:8080", "remote": ":80"}, {"local": ":9001", "remote": ":80"},
                 {"local": "127.0.0.1:9001", "remote": "192.168.65.77:80"},
                 {"local": "/tmp/no.sock", "remote": ":80", "protocol": "unix"}):
        status, answer = guest.ask("POST", FORWARDS, body)
        assert status == 403 and answer["error"]["code"] == "not_permitted", (body, status, answer)
        guest.request("POST", EXPOSE, json.dumps(body))
        answer = guest.getresponse()
        assert answer.status == 403 and answer.read().strip(), body
    assert [one["local"] for one in guest.ask("GET", FORWARDS)[1]] == ["127.0.0.1:9000", ":30005"]
    assert guest.ask("DELETE", f"{FORWARDS}?local=127.0.0.1:8000")[0] == 404
    assert len(listed(t)) == 3


@case(links=STREAM, start=False)
def test_greedy_guest(t):
    """A guest that publishes ten thousand ports gets its share, hears why, and leaves room for the host."""
    vsock = f"{t.directory}/vsock"
    t.start("--vsock", vsock)
    limit = int(re.search(r"Max open files\s+(\d+)", open(f"/proc/{t.proxy.process.pid}/limits").read())[1])
    share = min(4096, limit // 16)
    message = _message(FORWARDS, {"local": "127.0.0.1:0", "remote": ":80"})
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30 * wait.slowness)
        sock.connect(vsock + "_6565")
        for _ in range(share):
            sock.sendall(message)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200"), "refused too early"
        for _ in range(10):
            sock.sendall(message)
            answer = sock.recv(4096)
            assert answer.startswith(b"HTTP/1.1 403") and b"too_many" in answer, answer
    assert len(listed(t, owner="guest")) == share
    add(t, forward(8000))
    add(t, {"local": "127.0.0.1:8001-8100", "remote": f"{FIRST_GUEST}:80"})


@case(links=STREAM, start=False)
def test_released_address(t):
    """What a guest published goes when it gives its address back; what the host published stays."""
    vsock = f"{t.directory}/vsock"
    t.start("--vsock", vsock)
    assert client(t, vsock + "_6565").ask("POST", FORWARDS, {"local": "127.0.0.1:9000", "remote": ":80"})[0] == 200
    add(t, forward(8000))
    t.guest.detach()
    assert len(listed(t)) == 2, "a dropped link is no reason"
    t.guest.attach()
    one = process.Process(["udhcpc", "-f", "-t", "5", "-T", "1", "-i", IFNAME, "-s", t.guest.lease_script()],
                          f"{t.directory}/udhcpc.log", t.guest.ns, env=t.guest.lease_environment())
    t.cleanup.callback(one.kill)
    wait.until(lambda: "lease of" in one.output(), "the guest to have its address back")
    assert len(listed(t)) == 2
    one.send_signal(signal.SIGUSR2)  # releases it
    wait.until(lambda: len(listed(t)) == 1, "the guest's forward to go with its address")
    assert listed(t)[0]["owner"] == "host"
