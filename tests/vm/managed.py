# SPDX-License-Identifier: Apache-2.0
"""Machines that are kept, for tests: netproxy-vm's commands about one, its sockets and logs, and commands in its guest."""

import http.client
import json
import os
import socket
import subprocess

NAME = "m"
START_TIMEOUT = 90
CMDLINE = "console=ttyS0 quiet np.run=commands"


class RestConnection(http.client.HTTPConnection):
    """HTTP over the machine's REST socket."""

    def __init__(self, path):
        super().__init__("machine", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Managed:
    """A group of tests about one machine."""

    def __init__(self, settings, environment, directory):
        self.settings = settings
        self.host = environment.host
        self.directory = directory
        self.machine = f"{directory}/netproxy-vm/{NAME}"
        self.commands = 0
        # Left open for netproxy-vm, as scripts do with their locks; nothing that it starts may have it.
        self.left_open = open(f"{directory}/left-open", "w")

    def diagnostics(self):
        text = ""
        for name in ("events.log", "supervisor.log", "netproxy.log", "console.log", "end.json"):
            try:
                with open(f"{self.machine}/{name}", errors="replace") as file:
                    text += f"{name}:\n{file.read()[-1500:]}\n"
            except OSError:
                pass
        return text

    def init(self, *flags, check=True):
        """Makes the machine, with the guest of mkguest, ready when that takes commands."""
        guest = self.settings.guest
        return self.vm("init", NAME, "-kernel", f"{guest}/vmlinuz", "-initrd", f"{guest}/initrd.img",
                       "-cmdline", CMDLINE, "-mem", "256", "-accel", "tcg",
                       "-ready", "console:guest: ready for commands", *flags, check=check)

    def tear_down(self):
        self.vm("kill", NAME, check=False)
        self.left_open.close()

    def popen(self, *args):
        argv = ["ip", "netns", "exec", self.host.name, f"{self.settings.bin}/netproxy-vm", *args]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, pass_fds=(self.left_open.fileno(),),
                                env=os.environ | {"XDG_STATE_HOME": self.directory})

    def vm(self, *args, check=True, timeout=START_TIMEOUT):
        """Runs netproxy-vm; returns (exit status, what it said on both outputs)."""
        process = self.popen(*args)
        out, err = process.communicate(timeout=timeout)
        if check and process.returncode != 0:
            raise AssertionError(f"netproxy-vm {' '.join(args)}: {process.returncode}\n{out}{err}")
        return process.returncode, out + err

    def state(self):
        return json.loads(self.vm("status", "-format", "json", NAME, check=False)[1])["state"]

    def pid(self, name):
        with open(f"{self.machine}/{name}") as file:
            return int(file.read())

    def open_files(self, name):
        """Of the process of a pid file."""
        fds = f"/proc/{self.pid(name)}/fd"
        return [os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds)]

    def events(self):
        with open(f"{self.machine}/events.log") as file:
            return [json.loads(line)["event"] for line in file]

    def guest(self, command):
        """What a command prints in the guest, by the console's socket."""
        self.commands += 1
        begin, end = f"@{self.commands} begin\n", f"@{self.commands} end "
        text = ""
        with socket.socket(socket.AF_UNIX) as console:
            console.settimeout(30)
            console.connect(f"{self.machine}/console.sock")
            console.sendall(f"{self.commands} {command}\n".encode())
            while end not in text:
                piece = console.recv(65536)
                assert piece, f"the console hung up after {text!r}"
                text += piece.decode(errors="replace").replace("\r", "")
        return text.split(begin, 1)[1].split(end, 1)[0]

    def rest(self, method, path, body=None):
        connection = RestConnection(f"{self.machine}/rest.sock")
        connection.request(method, path, json.dumps(body) if body else None)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, json.loads(text) if text else None

    def use_network(self):
        """A device that was plugged in anew has no address, as this small guest doesn't watch for it."""
        self.guest("ip link set eth0 up; udhcpc -i eth0 -n -q -s /etc/udhcpc.script")
        assert "192.168.65.1" in self.guest("nslookup -type=a gateway.internal")
