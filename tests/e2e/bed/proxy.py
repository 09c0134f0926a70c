# SPDX-License-Identifier: Apache-2.0
"""netproxy as a process in the host namespace, and a client of its API."""

import http.client
import json
import os
import select
import socket
import time

from . import process, wait

GATEWAY = "192.168.65.1"
ALIAS = "192.168.65.254"  # the host's loopback
FIRST_GUEST = "192.168.65.2"
PREFIX6 = "fd65:6e70:7879::/64"
GATEWAY6 = "fd65:6e70:7879::1"
ALIAS6 = "fd65:6e70:7879::fe"
READY_TIMEOUT = 10


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("netproxy", timeout=10 * wait.slowness)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Proxy:
    """One netproxy. `directory` holds its sockets, pid file and log."""

    def __init__(self, binary, host, directory, resolv_conf, sanitized):
        self.binary = binary
        self.host = host
        self.directory = directory
        self.sanitized = sanitized
        self.resolv_conf = resolv_conf
        self.api = f"{directory}/api.sock"
        self.pid_file = f"{directory}/netproxy.pid"
        self.log_file = f"{directory}/netproxy.log"
        self.stderr_file = f"{directory}/netproxy.err"
        self.process = None

    def arguments(self):
        return ["--api", f"unix:{self.api}", "--log-level", "debug", "--log-file", self.log_file,
                "--pid-file", self.pid_file, "--resolv-conf", self.resolv_conf]

    def idle_link(self):
        """Arguments for a link that no guest uses; netproxy wants one."""
        return ["--link", f"qemu:{self.directory}/idle.sock"]

    def start(self, *args, wrapper=(), pass_fds=(), **streams):
        """Starts it with `args` besides the usual ones and waits until it says that it is ready. `stdin` and
        `stdout` may be given as descriptors."""
        ready_r, ready_w = os.pipe()
        try:
            argv = [*wrapper, self.binary, *self.arguments(), "--notify-fd", str(ready_w), *args]
            self.process = process.Process(argv, self.stderr_file, self.host,
                                           pass_fds=[ready_w, *pass_fds], env=self._environment(),
                                           **streams)
            os.close(ready_w)
            ready_w = -1
            self._await_ready(ready_r)
        finally:
            os.close(ready_r)
            if ready_w >= 0:
                os.close(ready_w)

    def _environment(self):
        if not self.sanitized:
            return None
        # Freed memory returns sooner, so that resident memory says something.
        return {"ASAN_OPTIONS": "quarantine_size_mb=4:detect_leaks=1:abort_on_error=0",
                "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}

    def _await_ready(self, fd):
        said = b""
        deadline = time.monotonic() + READY_TIMEOUT * wait.slowness
        while b"READY=1\n" not in said:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                raise wait.Late("netproxy did not say READY=1 on its --notify-fd")
            piece = os.read(fd, 4096)
            if not piece:
                status = self.process.wait()
                raise AssertionError(f"netproxy ended at start with status {status}: "
                                     f"{self.process.output().strip()}")
            said += piece

    def request(self, method, path, body=None):
        """Returns (status, body text). A dict or list as body is sent as JSON."""
        connection = _UnixConnection(self.api)
        try:
            if not isinstance(body, (str, bytes, type(None))):
                body = json.dumps(body)
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def get(self, path):
        status, body = self.request("GET", path)
        if status != 200:
            raise AssertionError(f"GET {path}: {status} {body}")
        return json.loads(body)

    def post(self, path, body):
        """Posts what must succeed: 200 and an empty body."""
        status, text = self.request("POST", path, body)
        if (status, text) != (200, ""):
            raise AssertionError(f"POST {path} {body}: {status} {text}")

    def expose(self, local, remote, protocol="tcp"):
        self.post("/services/forwarder/expose",
                  {"local": local, "remote": remote, "protocol": protocol})

    def unexpose(self, local, protocol="tcp"):
        self.post("/services/forwarder/unexpose", {"local": local, "protocol": protocol})

    def forwards(self):
        return self.get("/services/forwarder/all")

    def leases(self):
        return self.get("/services/dhcp/leases")

    def log(self):
        try:
            with open(self.log_file, errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def rss_kib(self):
        return process.rss_kib(self.process.pid)

    def fd_count(self):
        return process.fd_count(self.process.pid)

    def finish(self):
        """Ends it as a user would, and demands a clean end (sanitizers complain by the status)."""
        if not self.process:
            return
        if not self.process.running():
            raise AssertionError(f"netproxy ended by itself with status {self.process.wait()}")
        status = self.process.stop(timeout=10)
        if status:
            raise AssertionError(f"netproxy ended with status {status} after SIGTERM")

    def kill(self):
        if self.process:
            self.process.kill()

    def diagnostics(self):
        if not self.process:
            return "netproxy was not started"
        lines = []
        if self.process.running():
            try:
                lines.append("GET /stats: " + self.request("GET", "/stats")[1].strip())
            except (OSError, http.client.HTTPException) as error:
                lines.append(f"GET /stats: {error!r}")
            lines.append(f"fds {self.fd_count()}, rss {self.rss_kib()} KiB, "
                         f"cpu {process.cpu_seconds(self.process.pid):.2f} s")
        else:
            lines.append(f"netproxy is gone, status {self.process.wait()}")
        for name, text in (("stderr", self.process.output()), ("log", self.log())):
            tail = text.splitlines()[-60:]
            lines += [f"netproxy's {name}, last {len(tail)} lines:", *("    " + t for t in tail)]
        return "\n".join(lines)
