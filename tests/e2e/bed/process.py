# SPDX-License-Identifier: Apache-2.0
"""Processes that tests start: they die with the test run, and what they said is kept."""

import contextlib
import os
import signal
import subprocess

from . import wait


class Process:
    """A background process. Its output goes to one file, `log`, unless `stdout` is a descriptor."""

    def __init__(self, argv, log, namespace=None, pass_fds=(), env=None, stdin=subprocess.DEVNULL,
                 stdout=None):
        self.name = os.path.basename(argv[0])
        self.argv = argv
        self.log = log
        with open(log, "ab") as out, namespace or contextlib.nullcontext():
            self._popen = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *argv],
                                           stdin=stdin, stdout=out if stdout is None else stdout,
                                           stderr=out,
                                           pass_fds=pass_fds,
                                           env={**os.environ, **env} if env else None)
        self.pid = self._popen.pid

    def running(self):
        return self._popen.poll() is None

    def output(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def send_signal(self, number):
        self._popen.send_signal(number)

    def wait(self, timeout=10.0):
        """Waits for its end and returns the exit status (negative: the signal)."""
        try:
            return self._popen.wait(timeout * wait.slowness)
        except subprocess.TimeoutExpired:
            raise wait.Late(f"{self.name} is still running after "
                            f"{timeout * wait.slowness:g} s") from None

    def stop(self, number=signal.SIGTERM, timeout=5.0):
        """Ends it and returns its exit status."""
        if self.running():
            self.send_signal(number)
        return self.wait(timeout)

    def kill(self):
        if self.running():
            self._popen.kill()
        self._popen.wait()

    def wait_output(self, text, timeout=10.0):
        def there():
            if text in self.output():
                return True
            if not self.running():
                raise AssertionError(f"{self.name} ended with status {self._popen.returncode}:\n"
                                     f"{self.output()}")
            return False
        wait.until(there, f"{self.name} says {text!r}", timeout)


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError(f"process {pid} has no VmRSS")


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
