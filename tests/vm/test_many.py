# SPDX-License-Identifier: Apache-2.0
"""Many idle connections at a time (--connections), more than a process may have files here: so all of it, netproxy and the
namespaces of its guests, is in a machine of its own, whose root may raise every limit.

One netproxy holds them; another one beside it, with a guest of its own and none, is what a busy connection is compared
with, in turns, so that whatever else goes on meanwhile happens to both."""

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import time

from bed import proxy, wait

import image
import machine
from harness import group

HOLDERS = 8  # processes, each to a port of its own: one port's connects would scan for free ports of ours
PORT = 7777
IP = "/usr/bin/ip.iproute2"  # busybox's knows no namespaces
FILES = 200000
OPEN_TIMEOUT = 300
BYTES_EACH_MAX = 1024
NOISE_KIB = 512  # 64 send buffers, kept for the next connection that needs one, of which a page or two were used, and tables
MEMORY_LEFT_MAX_KIB = 4096
WAKEUPS_S = 5
ROUNDS = 5
RATIO_MAX = 2  # emulated times jump; a walk through all connections would take far more, and bench/run judges the rest
# Faster under emulation: no work for attackers, and a clock that needs no device.
APPEND = " mitigations=off init_on_alloc=0 tsc=reliable clocksource=tsc"

_SYSCTLS = ("fs.nr_open=1048576 fs.file-max=1000000 net.core.somaxconn=8192 net.ipv4.tcp_max_syn_backlog=8192 "
            "net.ipv4.tcp_max_orphans=262144")
_PORTS = "net.ipv4.ip_local_port_range='1024 65535'"


@group
class Many:
    """The tests run in this order, on the same connections."""

    TIMEOUT = 900

    def __init__(self, settings, _environment, directory):
        self.settings = settings
        self.directory = directory
        self.count = settings.connections // HOLDERS * HOLDERS
        self.pid = {}
        self.machine = None
        self.before = None

    def tear_down(self):
        if self.machine:
            self.machine.kill()

    def diagnostics(self):
        if not self.machine:
            return "no machine"
        _, log = self.machine.console.run("cat /tmp/*.log /tmp/*.err /proc/net/sockstat; dmesg | tail -n 3")
        return f"{log}\n{self.machine.stderr()}"

    # ---- The machine ----

    def initrd(self):
        """The usual one, and on top of it what runs here."""
        add, path = f"{self.directory}/add", f"{self.directory}/initrd.img"
        for name in ("netproxy", "benchtool"):
            image.copy_program(f"{self.settings.bin}/{name}", add, f"/bin/{name}")
        image.copy_program(os.path.realpath(shutil.which("ip")), add, IP)
        shutil.copy(f"{self.settings.guest}/initrd.img", path)
        with open(path, "ab") as file:
            subprocess.run("find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet", shell=True,
                           cwd=add, stdout=file, check=True)
        return path

    def boot(self):
        argv = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-m", "2G", "-smp", "2",
                "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
                "-kernel", f"{self.settings.guest}/vmlinuz", "-initrd", self.initrd(),
                "-append", machine.CMDLINE + APPEND]
        self.machine = machine.Machine(argv, self.directory, contextlib.nullcontext())
        self.machine.console.wait_for(r"^guest: ready for commands$", machine.BOOT_TIMEOUT)
        self.check(f"modprobe tun; mkdir -p /run/netns; ln -sfn /run /var/run; sysctl -w {_SYSCTLS} {_PORTS}")

    def check(self, command, timeout=60):
        return self.machine.console.check(command, timeout)

    def start(self, command, log):
        """In the background, with all files that it may want; its pid."""
        return int(self.check(f"ulimit -n {FILES}; {command} > /tmp/{log} 2>&1 & echo $!"))

    def inside(self, name):
        return f"{IP} netns exec {name}"

    def tool(self, *arguments):
        return " ".join(["benchtool", *map(str, arguments)])

    def start_proxy(self, name):
        """A netproxy with a guest, which gets its address."""
        self.check(f"{IP} netns add {name}; {self.inside(name)} sysctl -w {_PORTS} "
                   "net.ipv6.conf.default.disable_ipv6=1 net.ipv4.tcp_max_syn_backlog=8192")
        self.pid[name] = self.start(
            f"netproxy --link tap:eth0,netns=/run/netns/{name} --log-level warn "
            f"--log-file /tmp/{name}.log --pid-file /tmp/{name}.pid", f"{name}.err")
        wait.until(lambda: self.machine.console.run(f"test -s /tmp/{name}.pid")[0] == 0, f"{name} to be ready")
        self.check(f"{self.inside(name)} {IP} link set eth0 up; {self.inside(name)} udhcpc -i eth0 -t 20 -T 1 "
                   "-n -q -s /etc/udhcpc.script")

    # ---- What is measured ----

    def memory_kib(self):
        text = self.check(f"cat /proc/{self.pid['many']}/smaps_rollup")
        assert re.search(r"^AnonHugePages: +0 kB$", text, re.M), "huge pages: memory doesn't say much\n" + text
        return int(re.search(r"^Rss: +(\d+)", text, re.M)[1])

    def files(self):
        return int(self.check(f"ls /proc/{self.pid['many']}/fd 2> /dev/null | wc -l"))

    def wakeups(self):
        text = self.check(f"cat /proc/{self.pid['many']}/status")
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[1])

    def open(self, number):
        """A holder's connections; how many there are."""
        log = f"hold{number}.log"
        self.pid[number] = self.start(
            f"exec {self.inside('many')} "
            + self.tool("hold", proxy.ALIAS, PORT + number, self.count // HOLDERS, OPEN_TIMEOUT), log)
        text = self.check(f"while [ -d /proc/{self.pid[number]} ] && ! grep -q held /tmp/{log}; do sleep 0.1; done; "
                          f"cat /tmp/{log}", OPEN_TIMEOUT + 30)
        return json.loads(text)["held"]

    def p50(self, name):
        """The median round trip, in microseconds; all on one processor, as waking another is what emulation is
        slowest at."""
        text = self.check(f"{self.inside(name)} taskset 1 {self.tool('rr', proxy.ALIAS, PORT, 0.5)}")
        return json.loads(text)["p50_us"]

    # ---- The tests ----

    def test_held(self):
        self.boot()
        for number in range(HOLDERS):
            self.start(self.tool("serve", "0.0.0.0", PORT + number), f"serve{number}.log")
        self.start_proxy("many")
        self.start_proxy("none")
        self.p50("many")
        self.before = self.memory_kib(), self.files()
        begun = time.monotonic()
        held = sum(self.open(number) for number in range(HOLDERS // 2))
        half = self.memory_kib()
        held += sum(self.open(number) for number in range(HOLDERS // 2, HOLDERS))
        with_all = self.memory_kib()
        more = with_all - half
        print(f"     {held} connections in {time.monotonic() - begun:.0f} s: resident {self.before[0]} KiB without, "
              f"{half} with half of them, {with_all} with all; {more * 2048 / self.count:.0f} bytes each of the second half")
        assert held == self.count, f"{held} of {self.count} connections could be made"
        assert self.files() >= self.before[1] + self.count, "a connection has no socket on the host"
        most = self.count // 2 * BYTES_EACH_MAX // 1024 + NOISE_KIB
        assert more <= most, f"{more} KiB for half of the connections: {most} are allowed"

    def test_answer(self):
        """A byte there and back on some, chosen at random by each holder."""
        asked = answered = 0
        for number in range(HOLDERS):
            log = f"/tmp/hold{number}.log"
            text = self.check(f"kill -USR1 {self.pid[number]}; while ! grep -q asked {log}; do sleep 0.1; done; "
                              f"tail -n 1 {log}")
            result = json.loads(text)
            asked, answered = asked + result["asked"], answered + result["answered"]
        assert asked >= 1000 and answered == asked, f"{answered} of {asked} answered"

    def test_busy_one(self):
        """A busy connection beside them is about as fast as one beside none."""
        everybody = [self.pid["many"], self.pid["none"], *self.check("pidof benchtool").split()]
        self.check("; ".join(f"taskset -p 1 {pid}" for pid in everybody))
        results = [(self.p50("none"), self.p50("many")) for _ in range(ROUNDS)]
        self.check("; ".join(f"taskset -p 3 {pid}" for pid in everybody))
        none, many = (statistics.median(column) for column in zip(*results))
        quietest = [min(column) for column in zip(*results)]
        ratios = sorted(b / a for a, b in results)
        print(f"     round trip beside none {none:.0f} us, beside {self.count} {many:.0f} us (medians of {ROUNDS}, in "
              f"turns); ratio {statistics.median(ratios):.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}; "
              f"of the quietest {quietest[1] / quietest[0]:.2f}")
        assert min(statistics.median(ratios), quietest[1] / quietest[0]) <= RATIO_MAX, results

    def test_closed(self):
        """All that they took up is given back."""
        for number in range(HOLDERS):
            left = self.before[1] + self.count // HOLDERS * (HOLDERS - 1 - number)
            self.check(f"kill {self.pid[number]}")
            wait.until(lambda: self.files() <= left, f"holder {number}'s connections to be closed", 120, 0.1)
        most = self.before[0] + MEMORY_LEFT_MAX_KIB
        wait.until(lambda: self.memory_kib() <= most, f"{self.memory_kib()} KiB to become {most} at most", 30, 0.2)
        print(f"     {self.memory_kib() - self.before[0]} KiB more than before, {self.files() - self.before[1]} files")
        assert self.files() == self.before[1], f"{self.files()} files, {self.before[1]} before"

    def test_idle_and_alive(self):
        """Nothing wakes it up any more, and it serves as before."""
        wait.until(self.is_quiet, "no more than a wake-up a second", 60, 0)
        self.p50("many")
        _, log = self.machine.console.run("cat /tmp/many.log")
        assert "refusing" not in log, log

    def is_quiet(self):
        before = self.wakeups()
        self.check(f"sleep {WAKEUPS_S}")
        return self.wakeups() - before <= WAKEUPS_S
