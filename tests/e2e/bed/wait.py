# SPDX-License-Identifier: Apache-2.0
"""Waiting for conditions, with deadlines; nothing in the tests sleeps for a fixed time."""

import time

# Sanitizer builds are slower; the runner sets this once.
slowness = 1.0


class Late(AssertionError):
    """A condition did not come true in time."""


def until(condition, what, timeout=10.0, interval=0.01):
    """Polls `condition` until it returns something true, which is returned."""
    deadline = time.monotonic() + timeout * slowness
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Late(f"not within {timeout * slowness:g} s: {what}")
        time.sleep(interval)


def until_still(sample, still_for=1.0, timeout=30.0, what="a value to settle"):
    """Polls `sample` until it has returned the same value for `still_for` seconds, and returns it."""
    last, since = sample(), time.monotonic()
    deadline = since + timeout * slowness
    while time.monotonic() - since < still_for:
        if time.monotonic() >= deadline:
            raise Late(f"not within {timeout * slowness:g} s: {what}")
        time.sleep(0.02)
        value = sample()
        if value != last:
            last, since = value, time.monotonic()
    return last
