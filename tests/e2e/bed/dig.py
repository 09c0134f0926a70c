# SPDX-License-Identifier: Apache-2.0
"""dig in a guest, and what it says."""

from . import wait
from .proxy import GATEWAY


def dig(t, *arguments, server=GATEWAY, namespace=None):
    return (namespace or t.guest.ns).run("dig", f"@{server}", "+time=3", "+tries=1", *arguments, check=False,
                                         timeout=20 * wait.slowness).stdout


def short(t, *arguments, **keywords):
    return dig(t, "+short", *arguments, **keywords).split("\n")[:-1]


def status(output):
    return output.partition("status: ")[2].partition(",")[0]


def flags(output):
    return output.partition("flags: ")[2].partition(";")[0].split()
