# SPDX-License-Identifier: Apache-2.0
"""Groups of tests that share a setup, since booting a machine takes seconds.

A group is a class: its constructor sets up (settings, environment, directory), its methods named test_* are the
tests, in the order in which they stand, tear_down() ends it and diagnostics() tells what a failure needs.

`title` is what a program that runs tests calls itself.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

from bed import netns
from bed.world import World

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GROUP_TIMEOUT = 300

registry = []


class OutOfTime(Exception):
    pass


def group(cls):
    """Registers a group."""
    registry.append(cls)
    return cls


def tests_of(cls):
    return [name for name in vars(cls) if name.startswith("test_")]


def full_name(cls, test):
    return f"{cls.__name__.lower()}.{test.removeprefix('test_')}"


def select(texts):
    """Names of the tests to run. A group's tests build on each other, so the first is always one of them."""
    wanted = []
    for cls in registry:
        names = [full_name(cls, test) for test in tests_of(cls)]
        chosen = [name for name in names if not texts or any(text in name for text in texts)]
        wanted += [name for name in names if name in chosen or (chosen and name == names[0])]
    return wanted


def _describe(error):
    where = [f"  {os.path.relpath(frame.filename, HERE)}:{frame.lineno}: {frame.line}"
             for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename.startswith(HERE)]
    return "\n".join([f"{type(error).__name__}: {error}", *where])


def _report(name, problem, start):
    print(f"{'FAIL' if problem else 'ok  '} {name} ({time.monotonic() - start:.2f} s)", flush=True)
    if problem:
        print("\n".join(f"     {line}" for line in problem.splitlines()), flush=True)


def run_group(cls, settings, environment, directory, wanted):
    """Runs the tests of a group whose names are in `wanted`. Returns (passed, failed)."""
    timeout = getattr(cls, "TIMEOUT", GROUP_TIMEOUT)

    def on_alarm(*_):
        raise OutOfTime(f"the group took more than {timeout} s")

    os.makedirs(directory)
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(timeout)
    passed = failed = 0
    bed = None
    try:
        bed = cls(settings, environment, directory)
        for test in tests_of(cls):
            name = full_name(cls, test)
            if name not in wanted:
                continue
            start = time.monotonic()
            try:
                getattr(bed, test)()
            except Exception as error:
                _report(name, f"{_describe(error)}\n{bed.diagnostics()}", start)
                failed += 1
                if isinstance(error, OutOfTime):
                    break
            else:
                _report(name, None, start)
                passed += 1
    except Exception as error:
        _report(f"{cls.__name__.lower()}: set-up", _describe(error), time.monotonic())
        failed += 1
    finally:
        signal.alarm(0)
        if bed:
            bed.tear_down()
    return passed, failed


def check_machine(title, tools, directory, programs):
    """Ends the process when these tests can't be run here: not by root, or without those tools or programs."""
    if os.geteuid():
        sys.exit(f"{title}: must run as root (network namespaces)")
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        sys.exit(f"{title}: not installed: {', '.join(missing)}")
    for name in programs:
        if not os.access(f"{directory}/{name}", os.X_OK):
            sys.exit(f"{title}: {directory}/{name} isn't there; build first, or say where with --bin")


def _run_groups(title, settings, wanted, directory):
    passed = failed = 0
    environment = World(directory)
    try:
        for cls in registry:
            if any(full_name(cls, test) in wanted for test in tests_of(cls)):
                good, bad = run_group(cls, settings, environment, f"{directory}/{cls.__name__.lower()}", wanted)
                passed += good
                failed += bad
    finally:
        environment.remove()
    print(f"{title}: {passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


def run(title, settings, wanted):
    """Runs the tests of those names, in a world and a directory made for them. Returns the exit status."""
    netns.remove_stale()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Short, since unix sockets' paths are.
    directory = tempfile.mkdtemp(prefix=f"{netns.PREFIX}-{os.getpid()}-")
    os.chmod(directory, 0o755)
    try:
        return _run_groups(title, settings, wanted, directory)
    except KeyboardInterrupt:
        print(f"{title}: interrupted")
        return 130
    finally:
        if settings.keep:
            print(f"{title}: logs are in {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
