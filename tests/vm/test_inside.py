# SPDX-License-Identifier: Apache-2.0
"""What the host reaches inside a guest, and the guest at the host: SSH, files, the console, vsock ports both ways; and
the guest's clock, which is right after a pause."""

import os
import pty
import select
import socket
import subprocess
import threading
import time

from bed import wait

import image
from harness import group
from managed import NAME, Managed

SIZE = 512 << 10
PORT = 2374        # of -vsock-ports, a service that echoes
OTHER = 5000       # of -vsock-ports, nothing listens
GREETER = 777      # not of -vsock-ports
PAUSE = 3          # seconds; then the guest's clock is late by more than CLOCK_ERROR
CLOCK_ERROR = 1


def received(sock):
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@group
class Inside(Managed):
    def __init__(self, settings, environment, directory):
        super().__init__(settings, environment, directory)
        self.key = f"{directory}/key"

    def unix(self, name):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(f"{self.machine}/{name}")
        return sock

    def ssh(self, command, data=None):
        """(exit status, standard output) of a command in the guest."""
        process = self.popen("ssh", NAME, command)
        out, _ = process.communicate(data, timeout=30)
        return process.returncode, out

    def file(self, name, data):
        path = f"{self.directory}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def test_start(self):
        """Comes back when the guest's SSH server answers; the log says all that was said at the terminal."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.vm("init", NAME, "-mem", "256", "-accel", "tcg", "-ssh-key", f"{self.key}.pub", "-publish",
                "127.0.0.1:2222:22", "-vsock-ports", f"{PORT},{OTHER}", "-ready", "ssh",
                image.build(self.settings, self.directory))
        _, said = self.vm("start", NAME)
        assert "is ready" in said, said
        assert "SSH server started" in self.vm("logs", "-of", "console", NAME)[1]
        log = self.vm("logs", NAME)[1]
        for line in said.splitlines():
            assert line.split(" ", 1)[1] in log, f"{line!r} isn't in the log:\n{log}"

    def test_ssh(self):
        """By the key beside that of -ssh-key; input, output and exit status are the command's."""
        assert self.ssh("cat; exit 7", "to the guest\n") == (7, "to the guest\n")
        assert self.ssh("uname -n") == (0, "guest\n")

    def test_cp(self):
        data = os.urandom(SIZE)
        self.file("tree/sub/file", data)
        self.vm("cp", NAME, f"{self.directory}/tree", ":/tmp/")
        self.vm("cp", NAME, ":/tmp/tree/sub/file", f"{self.directory}/back")
        with open(f"{self.directory}/back", "rb") as file:
            assert file.read() == data
        status, said = self.vm("cp", NAME, ":/tmp/nothing", f"{self.directory}/no", check=False)
        assert status != 0 and "No such file" in said, said

    def test_console(self):
        """Attached to from a terminal, with another at the same time; detached from by Ctrl-A d."""
        ours, theirs = pty.openpty()
        argv = ["ip", "netns", "exec", self.host.name, f"{self.settings.bin}/netproxy-vm", "console", NAME]
        with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs,
                              env=os.environ | {"XDG_STATE_HOME": self.directory}) as process:
            os.close(theirs)
            said = ""

            def wait_for(text):
                nonlocal said
                deadline = time.monotonic() + 30
                while text not in said:
                    assert select.select([ours], [], [], max(0, deadline - time.monotonic()))[0], said
                    said += os.read(ours, 4096).decode(errors="replace")

            wait_for("Ctrl-A d detaches")
            # Its Ctrl-C is the guest's, and Ctrl-A twice is one.
            os.write(ours, b"c1 echo seen-by-$((40 + 2)) \x01\x01\r")
            wait_for("@c1 end 0")
            assert "seen-by-42 \x01" in said, said
            assert self.guest("echo beside") == "beside\n"
            wait_for("beside")
            os.write(ours, b"c2 echo last-words > /tmp/last\r\x01d")
            assert process.wait(30) == 0
            os.close(ours)
        assert self.guest("cat /tmp/last") == "last-words\n"

    def test_vsock_connect(self):
        self.ssh(f"socat VSOCK-LISTEN:{PORT},fork,reuseaddr EXEC:cat > /dev/null 2>&1 < /dev/null & "
                 f"socat VSOCK-LISTEN:{GREETER},fork,reuseaddr SYSTEM:'cat; echo and goodbye' "
                 "> /dev/null 2>&1 < /dev/null &")
        def greeted():
            process = self.popen("vsock", "connect", NAME, str(GREETER))
            return process.communicate("hello\n", timeout=30)[0] == "hello\nand goodbye\n"
        wait.until(greeted, "the guest's service has listened", 20, interval=0.2)
        status, said = self.vm("vsock", "connect", NAME, str(OTHER), check=False)
        assert status == 1 and f"listens at vsock port {OTHER}" in said, said

    def test_ports_to_the_guest(self):
        """Through guest.%08x and back, ended by one side after the other; two at a time."""
        data = os.urandom(SIZE)
        socks = [self.unix(f"guest.{PORT:08x}") for _ in range(2)]

        def send(sock):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        threads = [threading.Thread(target=send, args=(sock,)) for sock in socks]
        for thread in threads:
            thread.start()
        for sock, thread in zip(socks, threads):
            with sock:
                assert received(sock) == data
            thread.join()
        with self.unix(f"guest.{OTHER:08x}") as sock:
            assert received(sock) == b"", "nobody listens there"

    def test_ports_to_the_host(self):
        """The guest connects to CID 2, and lands at host.%08x; it ends its side first."""
        data = os.urandom(SIZE)
        self.vm("cp", NAME, self.file("data", data), ":/tmp/data")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{self.machine}/host.{PORT:08x}")
            listener.listen()
            listener.settimeout(30)
            process = self.popen("ssh", NAME, f"socat -t 30 - VSOCK-CONNECT:2:{PORT} < /tmp/data > /tmp/answer; "
                                 "cmp /tmp/data /tmp/answer && echo the same")
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(30)
                assert received(sock) == data
                sock.sendall(data)
            assert process.communicate(timeout=30)[0] == "the same\n"
        # Where nobody listens, at once.
        status, _ = self.ssh(f"timeout 10 socat -u VSOCK-CONNECT:2:{OTHER} - 2> /dev/null")
        assert status == 1, f"{status}: it was to be refused"

    def clock_error(self):
        """How far the guest's clock is off, at least; it tells whole seconds."""
        before = time.time()
        guest = int(self.guest("date +%s"))
        return max(before - (guest + 1), guest - time.time(), 0)

    def test_clock(self):
        self.vm("pause", NAME)
        begin = time.monotonic()
        status, said = self.vm("ssh", NAME, "true", check=False)
        assert status == 1 and "resume" in said, said
        # What is tested is what time does, so time has to pass.
        wait.until(lambda: time.monotonic() - begin > PAUSE, "the pause to last", PAUSE + 1)
        self.vm("resume", NAME)
        wait.until(lambda: "clock is set" in self.vm("logs", NAME)[1], "the agent to set the clock", 20)
        error = self.clock_error()
        assert error < CLOCK_ERROR, f"the guest's clock is off by {error:.2f} s"

    def test_new_host_key(self):
        """This guest keeps nothing, and has another host key each time: that is no man in the middle."""
        before = self.ssh("ls /tmp/data")
        assert before[0] == 0, before
        self.vm("stop", NAME)
        self.vm("start", NAME)
        assert self.ssh("ls /tmp/data")[0] == 1
