# SPDX-License-Identifier: Apache-2.0
"""netproxy in slirp4netns' place, beside the real one of Debian: the same requests to both API sockets, the same
answers, but where this file says why not; the same addresses; the same flags."""

import json
import os
import shutil
import socket
import subprocess

from bed import process, traffic, wait
from bed.cases import Skip, case
from bed.netns import Namespace

REAL = "/usr/bin/slirp4netns"
GATEWAY = "10.0.2.2"  # and the host's loopback
DNS = "10.0.2.3"
GUEST = "10.0.2.100"


class Slirp:
    """A slirp4netns, ours or the real one, with a namespace of its own beside the host's."""

    def __init__(self, t, name, binary, *args, configure=True):
        self.t = t
        self.host = Namespace(f"{name}-host")
        self.ns = Namespace(name)
        self.directory = f"{t.directory}/{name}"
        self.binary = binary
        self.args = ["-c", *args] if configure else [*args]
        os.makedirs(self.directory)
        self.socket = f"{self.directory}/api.sock"
        self.process = None
        t.cleanup.callback(self.stop)

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        ready_r, ready_w = os.pipe()
        argv = [self.binary, "-r", str(ready_w), "-a", self.socket, *self.args,
                "--netns-type=path", self.ns.path, "tap0"]
        self.process = process.Process(argv, f"{self.directory}/log", self.host, pass_fds=[ready_w])
        os.close(ready_w)
        said = os.read(ready_r, 8)
        os.close(ready_r)
        assert said == b"1", self.process.output()
        return self

    def ask(self, request):
        """The answer to a request, as text; None when the other side dies of it."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10 * wait.slowness)
            sock.connect(self.socket)
            try:
                sock.sendall(request.encode())
                sock.shutdown(socket.SHUT_WR)
                answer = traffic.read_to_end(sock).decode()
            except (BrokenPipeError, ConnectionResetError):
                answer = ""
        return answer or None

    def stop(self):
        if self.process:
            self.process.kill()
        self.ns.remove()
        self.host.remove()


def ours(t, *args, **kwargs):
    link = f"{t.directory}/slirp4netns"
    if not os.path.islink(link):
        os.symlink(os.path.abspath(f"{t.settings.bin}/netproxy"), link)
    return Slirp(t, "ours", link, *args, **kwargs)


def add(**arguments):
    return json.dumps({"execute": "add_hostfwd", "arguments": arguments})


def remove(identifier):
    return json.dumps({"execute": "remove_hostfwd", "arguments": {"id": identifier}})


LIST = '{"execute":"list_hostfwd"}'

# In this order: they build on each other.
SAME = [
    LIST,
    add(proto="tcp", host_addr="0.0.0.0", host_port=18080, guest_addr=GUEST, guest_port=80),
    add(proto="udp", host_addr="127.0.0.1", host_port=18080, guest_port=80),
    add(proto="tcp", host_port=18081, guest_port=81),
    add(proto="tcp", host_addr="", host_port=18082, guest_addr="", guest_port=82),
    add(proto="tcp", host_port=18083, guest_addr="0.0.0.0", guest_port=83),
    LIST,
    remove(2), remove(2), remove(99), remove(-1), remove("1"), '{"execute":"remove_hostfwd"}',
    '{"execute":"remove_hostfwd","arguments":{}}',
    LIST,
    "", "{", "{}", "[]", '"x"', '{"execute":"nope"}', '{"execute":1}', '{"execute":"list_hostfwd","arguments":7}',
    LIST + "\n", "   " + LIST, LIST + " behind", " " * 4000 + LIST,
    add(proto="tcp", guest_port=2), add(proto="tcp", host_port=18090),
    add(proto="tcp", host_port="18090", guest_port=5), add(proto="tcp", host_port=0, guest_port=5),
    add(proto="tcp", host_port=18091, guest_port=0), add(proto="tcp6", host_port=18091, guest_port=5),
    add(proto="tcp", host_addr="nope", host_port=18093, guest_port=5),
    add(proto="tcp", host_addr="::1", host_port=18093, guest_port=5),
    add(proto="tcp", host_port=18093, guest_addr="nope", guest_port=5),
    # Ids are not used again.
    add(proto="udp", host_port=18094, guest_port=94),
    LIST,
]

# We say why: the same text, and more behind it.
MORE = [
    add(proto="tcp", host_port=18080, guest_port=80),
    add(proto="tcp", host_addr="8.8.8.8", host_port=18095, guest_port=5),
]

# The real one dies of these, or takes what can't be; we answer.
OURS = {
    '{"execute":"add_hostfwd"}': "bad arguments.proto",
    '{"execute":"add_hostfwd","arguments":[]}': "bad arguments.proto",
    add(host_port=1, guest_port=2): "bad arguments.proto",
    add(proto=7, host_port=1, guest_port=2): "bad arguments.proto",
    add(proto="tcp", host_port=70000, guest_port=5): "bad arguments.host_port",
    add(proto="tcp", host_port=-1, guest_port=5): "bad arguments.host_port",
    add(proto="tcp", host_port=18092, guest_port=70000): "bad arguments.guest_port",
    add(proto="tcp", host_port=18092, guest_addr="1.2.3.4", guest_port=5): "slirp_add_hostfwd failed",
    " " * 5000 + LIST: "request too large",
}


@case(start=False)
def test_api(t):
    """Answers byte by byte those of the real one."""
    if not os.access(REAL, os.X_OK):
        raise Skip("not installed: slirp4netns")
    mine, real = ours(t).start(), Slirp(t, "real", REAL).start()
    for request in SAME:
        answers = mine.ask(request), real.ask(request)
        assert answers[0] == answers[1] and answers[0], (request, answers)
    for request in MORE:
        answers = [json.loads(one.ask(request))["error"]["desc"] for one in (mine, real)]
        assert answers[0].startswith(answers[1] + ": "), (request, answers)
    for request, text in OURS.items():
        answer = mine.ask(request)
        assert text in json.loads(answer)["error"]["desc"], (request, answer)


@case(start=False)
def test_api_hostile(t):
    """Clients that say nothing, or little by little, or go away, don't keep others from being answered."""
    mine = ours(t).start()
    silent = [socket.socket(socket.AF_UNIX) for _ in range(40)]
    t.keep(*silent)
    for sock in silent:
        sock.connect(mine.socket)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10 * wait.slowness)
        sock.connect(mine.socket)
        for character in LIST:
            sock.sendall(character.encode())
        assert json.loads(traffic.read_to_end(sock)) == {"entries": []}, "an answer without shutdown()"
    for _ in range(100):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(mine.socket)
            sock.sendall(LIST.encode())
    assert json.loads(mine.ask("[" * 3000))["error"]
    assert json.loads(mine.ask(LIST)) == {"entries": []}
    assert mine.process.running()


def look(slirp):
    """What the namespace has: addresses and routes without what is random or the kernel's."""
    link = slirp.ns.ip("-4", "addr", "show", "tap0").split()
    return {"mtu": link[link.index("mtu") + 1], "inet": link[link.index("inet") + 1],
            "brd": link[link.index("brd") + 1], "route": slirp.ns.ip("-4", "route"),
            "lo": "UP" in slirp.ns.ip("link", "show", "lo")}


@case(start=False)
def test_network(t):
    """The same addresses and routes as the real one's; DNS, the host's loopback and pings at theirs."""
    args = ["-6", "--mtu=65520"]
    mine = ours(t, *args).start()
    if os.access(REAL, os.X_OK):
        real = Slirp(t, "real", REAL, *args).start()
        assert look(mine) == look(real), (look(mine), look(real))
    assert "fd00::64/64" in mine.ns.ip("-6", "addr", "show", "tap0")
    assert "default via fd00::2 dev tap0" in mine.ns.ip("-6", "route")
    for address in (GATEWAY, DNS, "fd00::2", "fd00::3"):
        mine.ns.run("ping", "-c", "1", "-W", "5", address)
    for server, address in ((DNS, "127.0.0.1"), ("fd00::3", "::1")):
        assert mine.ns.run("dig", f"@{server}", "+short", "gateway.internal").stdout == f"{GATEWAY}\n"
        to = GATEWAY if ":" not in server else "fd00::2"
        # Port 53 of the gateway is the host's, not ours.
        with mine.host.listen(address, 53) as listener:
            traffic.one_way(mine.ns.connect(to, 53), traffic.accept(listener), 100000)
    mine.ask(add(proto="tcp", host_port=18080, guest_port=80))
    with mine.ns.listen(port=80) as listener:
        client, guest = mine.host.connect("127.0.0.1", 18080), traffic.accept(listener)
        assert guest.getpeername()[0] == GATEWAY, guest.getpeername()
        traffic.one_way(client, guest, 1024 * 1024)


@case(start=False)
def test_disabled(t):
    """--disable-host-loopback and --disable-dns."""
    mine = ours(t, "--disable-host-loopback", "--disable-dns", "--cidr=10.55.0.0/16",
                "--macaddress=52:54:00:01:02:03").start()
    addr = mine.ns.ip("addr", "show", "tap0")
    assert "10.55.0.100/16" in addr and "52:54:00:01:02:03" in addr, addr
    with mine.host.listen("127.0.0.1", 7000):
        try:
            mine.ns.connect("10.55.0.2", 7000).close()
            raise AssertionError("the host's loopback is reached")
        except OSError:
            pass
    done = mine.ns.run("dig", "@10.55.0.3", "+tries=1", "+time=2", "gateway.internal", check=False)
    assert done.returncode, done
    mine.ns.run("ping", "-c", "1", "-W", "5", "10.55.0.2")


@case(start=False)
def test_attach(t):
    """Without -c nothing is set up, and DHCP gives the addresses that slirp4netns' does."""
    mine = ours(t, configure=False).start()
    assert "inet " not in mine.ns.ip("addr", "show", "tap0")
    mine.ns.ip("link", "set", "tap0", "up")
    done = mine.ns.run("busybox", "udhcpc", "-i", "tap0", "-n", "-q", "-f", "-s", "/bin/true")
    assert "10.0.2.15" in done.stdout + done.stderr, done


@case(start=False)
def test_command_line(t):
    """What tools look for before they start it, and what can't be."""
    path = ours(t).binary

    def run(*args):
        return subprocess.run([path, *args], capture_output=True, text=True, timeout=20, check=False)
    version = run("--version").stdout.split("\n")
    assert version[0] == "slirp4netns version 1.2.0" and "netproxy" in version[1], version
    text = run("--help").stdout
    for flag in ("--configure", "--exit-fd", "--ready-fd", "--mtu", "--enable-ipv6", "--api-socket", "--cidr",
                 "--disable-host-loopback", "--netns-type", "--userns-path", "--enable-sandbox",
                 "--enable-seccomp", "--outbound-addr", "--outbound-addr6", "--disable-dns",
                 "--macaddress", "--target-type"):
        assert flag in text, flag
    if shutil.which(REAL):
        real = subprocess.run([REAL, "--version"], capture_output=True, text=True, check=True).stdout
        assert [line.split(":")[0] for line in real.split("\n")][1:] == \
               [line.split(":")[0] for line in version][1:], (real, version)
    for args, words in (([], "PID|PATH"), (["1"], "TAPNAME"), (["x", "tap0"], "PID must be"),
                        (["--mtu=0", "1", "t"], "MTU"), (["--mtu=65522", "1", "t"], "MTU"),
                        (["--cidr=10.0.2.7/24", "1", "t"], "CIDR"), (["--cidr=10.0.2.0/26", "1", "t"], "1-25"),
                        (["--netns-type=path", "/nope", "t"], "existing path"),
                        (["--netns-type=x", "1", "t"], "--netns-type"),
                        (["--target-type=x", "1", "t"], "--target-type"),
                        (["-c", "--target-type=bess", "/x"], "conflicts"),
                        (["--macaddress=02:00:00:00:00:01", "1", "t"], "--configure"),
                        (["--userns-path=/nope", "1", "t"], "userns"), (["--bogus"], "--bogus"),
                        (["--mtu"], "needs a value"), (["-e", "x", "1", "t"], "exit-fd")):
        done = run(*args)
        assert done.returncode and words in done.stderr, (args, done)
