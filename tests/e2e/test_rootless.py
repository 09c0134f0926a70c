# SPDX-License-Identifier: Apache-2.0
"""Network namespaces as guests: --netns, and rootless Podman and RootlessKit with netproxy in slirp4netns' place."""

import os
import re
import signal
import socket
import subprocess
import threading

from bed import process, rootless, traffic, wait
from bed.cases import Skip, case
from bed.netns import Namespace
from bed.proxy import ALIAS, FIRST_GUEST, GATEWAY, GATEWAY6

PORT = 8080
HOST_PORT = 8088


def namespace(t, role="ns"):
    made = Namespace(role)
    t.cleanup.callback(made.remove)
    made.ip("link", "set", "lo", "down")
    return made


def start(t, *args, ready=True):
    """netproxy without its usual arguments' help; returns the process and what --ready-fd got."""
    ready_r, ready_w = os.pipe()
    try:
        t.proxy.start(*args, "--ready-fd", str(ready_w), pass_fds=[ready_w])
    finally:
        os.close(ready_w)
    said = os.read(ready_r, 16)
    os.close(ready_r)
    assert said == b"1", said


def ended(t, status=0):
    """netproxy has ended by itself, well."""
    assert t.proxy.process.wait() == status, t.proxy.log()
    t.proxy.process = None


@case(start=False)
def test_netns(t):
    """A namespace by its path: lo, tap, addresses, MTU and routes are set; both families work both ways."""
    ns = namespace(t)
    start(t, "--netns", ns.path, "--ifname", "eth7", "--mtu", "9000", "--publish", "8080:80",
          "--resolv-out", f"{t.directory}/resolv.conf")
    assert "UP" in ns.ip("link", "show", "lo")
    link = ns.ip("addr", "show", "eth7")
    assert "mtu 9000" in link and f"{FIRST_GUEST}/24 brd 192.168.65.255" in link, link
    assert "fd65:6e70:7879::2/64" in link, link
    assert f"default via {GATEWAY} dev eth7" in ns.ip("route")
    assert f"default via {GATEWAY6} dev eth7" in ns.ip("-6", "route")
    with t.host.listen("127.0.0.1", HOST_PORT) as listener:
        near = ns.connect(ALIAS, HOST_PORT)
        traffic.one_way(near, traffic.accept(listener), 1024 * 1024)
    with ns.listen(port=80) as listener:
        client = t.host.connect("127.0.0.1", PORT)
        traffic.one_way(client, traffic.accept(listener), 1024 * 1024)
    with open(f"{t.directory}/resolv.conf") as file:
        assert file.read() == f"nameserver {GATEWAY}\nnameserver {GATEWAY6}\nsearch vm.internal\n"
    assert GATEWAY in ns.run("dig", f"@{GATEWAY}", "+short", "gateway.internal").stdout


@case(start=False)
def test_netns_dhcp(t):
    """Who asks by DHCP nevertheless gets the address that is there."""
    ns = namespace(t)
    start(t, "--netns", ns.path, "--netns-mac", "52:54:00:11:22:33", "--netns-address",
          "192.168.65.77")
    assert "52:54:00:11:22:33" in ns.ip("link", "show", "tap0")
    said = ns.run("busybox", "udhcpc", "-i", "tap0", "-n", "-q", "-f", "-s", "/bin/true")
    assert "192.168.65.77" in said.stdout + said.stderr, said


@case(start=False)
def test_netns_ends(t):
    """netproxy ends with the process whose namespace it is, when its path goes, and by --exit-fd."""
    sleeper = process.Process(["unshare", "--net", "sleep", "300"], f"{t.directory}/sleep.log")
    t.cleanup.callback(sleeper.kill)
    own = os.readlink("/proc/self/ns/net")
    wait.until(lambda: os.readlink(f"/proc/{sleeper.pid}/ns/net") != own, "a namespace")
    start(t, "--netns", str(sleeper.pid))
    assert t.proxy.process.running()
    sleeper.kill()
    ended(t)

    ns = Namespace("gone")
    start(t, "--netns", ns.path)
    ns.remove()
    ended(t)

    ns = namespace(t)
    exit_r, exit_w = os.pipe()
    ready_r, ready_w = os.pipe()
    t.proxy.start("--netns", ns.path, "--exit-fd", str(exit_r), pass_fds=[exit_r])
    for fd in (exit_r, ready_r, ready_w):
        os.close(fd)
    assert t.proxy.process.running()
    os.close(exit_w)
    ended(t)


@case(start=False)
def test_netns_errors(t):
    """What can't be is said, with what would be right."""
    for args, text in (
            (["--netns", "/nowhere"], "No such file"),
            (["--netns", "999999999"], "No such file"),
            (["--netns", "/etc/passwd"], "entering the network namespace"),
            (["--netns", "1", "--netns-address", GATEWAY], "--netns-address"),
            (["--ifname", "tap0"], "expected --netns"),
            (["--link", "tap:x", "--dns-address", "10.9.9.9"], "--dns-address"),
            (["--link", "tap:x", "--dns-address", GATEWAY], "--dns-address"),
            (["--netns", "1", "--netns-mac", "01:00:5e:00:00:01"], "MAC of one device")):
        done = t.host.run(f"{t.settings.bin}/netproxy", *args, check=False)
        assert done.returncode and text in done.stderr, (args, done)


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@case(start=False)
def test_sandbox(t):
    """--sandbox and --seccomp: no privileges, no files, and everything works. --log-file is opened before."""
    if t.settings.sanitized:
        raise Skip("sanitizers' reports need what a sandbox takes away")
    ns = namespace(t)
    start(t, "--netns", ns.path, "--sandbox", "--seccomp", "--publish", "8080:80")
    pid = t.proxy.process.pid
    said = status_of(pid)
    assert said["NoNewPrivs"] == "1" and said["Seccomp"] == "2", said
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(said[name], 16) == 1 << 10, said  # CAP_NET_BIND_SERVICE
    assert sorted(os.listdir(f"/proc/{pid}/root/")) == ["etc", "run"]
    with t.host.listen("127.0.0.1", HOST_PORT) as listener:
        near = ns.connect(ALIAS, HOST_PORT)
        traffic.one_way(near, traffic.accept(listener), 1024 * 1024)
    with ns.listen(port=80) as listener:
        client = t.host.connect("127.0.0.1", PORT)
        traffic.one_way(client, traffic.accept(listener), 1024 * 1024)
    assert GATEWAY in ns.run("dig", f"@{GATEWAY}", "+short", "gateway.internal").stdout


def needs(*programs):
    missing = rootless.missing(*programs)
    if missing:
        raise Skip(f"not installed: {', '.join(missing)}")


def serve_text(t, text):
    """Answers every connection to HOST_PORT of the host's loopback with the text, until the test ends."""
    listener = t.keep(t.host.listen("127.0.0.1", HOST_PORT))

    def run():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(text)
    listener.settimeout(None)
    threading.Thread(target=run, daemon=True).start()
    t.cleanup.callback(listener.shutdown, socket.SHUT_RDWR)


PODMAN = """set -eu
run() { podman run --rm --network "slirp4netns:allow_host_loopback=true,port_handler=slirp4netns" "$@"; }
run --name web -d -p 8080:80 --rootfs $HOME/rootfs /bin/httpd -f -p 80 -h /www
podman exec web cat /etc/resolv.conf
podman exec web sh -c 'nc 10.0.2.2 8088 < /dev/null; nslookup -type=a gateway.internal; ip addr show tap0'
touch $HOME/up
while [ ! -e $HOME/rootfs/tmp/fetched ]; do sleep 0.1; done
podman rm -f -t 0 web
echo removed
while [ ! -e $HOME/rootfs/tmp/closed ]; do sleep 0.1; done
"""


@case(start=False, timeout=120)
def test_podman(t):
    """Rootless Podman: a container reaches the host and names, and publishes a port that goes with it."""
    if t.settings.sanitized:
        raise Skip("Podman sandboxes us, and sanitizers' reports need what that takes away")
    needs("podman", "crun")
    serve_text(t, b"from the host\n")
    user = rootless.User(t, "bash", "-c", PODMAN)
    wait.until(lambda: rootless.fetch(t.host, f"http://127.0.0.1:{PORT}/") ==
               "from the container\n", "the container's page", 60)
    wait.until(lambda: "inet 10.0.2.100/24" in user.process.output(), "the container's words", 20)
    said = user.process.output()
    assert "from the host" in said and "nameserver 10.0.2.3" in said, said
    assert re.search(r"gateway\.internal\s+Address: 10\.0\.2\.2", said), said
    tmp = f"/proc/{child(user)}/root{rootless.HOME}/rootfs/tmp"
    open(f"{tmp}/fetched", "w").close()
    user.process.wait_output("removed", 30)
    wait.until(lambda: rootless.fetch(t.host, f"http://127.0.0.1:{PORT}/") is None, "the port closed")
    open(f"{tmp}/closed", "w").close()
    user.finish()


def child(user):
    """The pid of what runs in the user's namespaces."""
    pids = subprocess.run(["ps", "-o", "pid=", "--ppid", str(user.process.pid)],
                          stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return pids[0]


ROOTLESSKIT = """exec rootlesskit --net=slirp4netns --mtu=65520 --slirp4netns-sandbox=true \\
	--slirp4netns-seccomp=true --port-driver=slirp4netns --publish 127.0.0.1:8080:80/tcp --copy-up=/etc \\
	sh -c 'cat /etc/resolv.conf; ip addr show tap0; ping -c 1 10.0.2.2; busybox nc 10.0.2.2 8088 < /dev/null; \\
	exec busybox httpd -f -p 80 -h $HOME/rootfs/www'
"""


@case(start=False, timeout=60)
def test_rootlesskit(t):
    """RootlessKit, which sets the tap up by itself, with slirp4netns' sandbox, and its port driver."""
    if t.settings.sanitized:
        raise Skip("sanitizers' reports need what a sandbox takes away")
    needs("rootlesskit", "ip")
    serve_text(t, b"from the host\n")
    user = rootless.User(t, "bash", "-c", ROOTLESSKIT)
    wait.until(lambda: rootless.fetch(t.host, f"http://127.0.0.1:{PORT}/") ==
               "from the container\n", "the page from inside", 30)
    said = user.process.output()
    for text in ("nameserver 10.0.2.3", "inet 10.0.2.100/24", "1 received", "from the host"):
        assert text in said, (text, said)
    os.kill(int(child(user)), signal.SIGTERM)
    user.process.wait(10)
    wait.until(lambda: rootless.fetch(t.host, f"http://127.0.0.1:{PORT}/") is None, "the port closed")
