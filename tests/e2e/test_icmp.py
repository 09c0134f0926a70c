# SPDX-License-Identifier: Apache-2.0
"""Echo: answered by the gateway for itself and by the real thing for everybody else."""

from bed import world
from bed.cases import MAIN, STREAM, case
from bed.proxy import ALIAS, GATEWAY


@case(links=MAIN)
def test_gateway(t):
    assert t.guest.ping(GATEWAY, count=3)


@case(links=MAIN)
def test_alias(t):
    assert t.guest.ping(ALIAS, count=3)


@case(links=MAIN)
def test_world(t):
    assert t.guest.ping(world.ADDRESS, count=3)
    assert t.guest.ping(world.MANY % (1, 1), count=3)


@case(links=MAIN)
def test_sizes(t):
    for size in (0, 8, 56, 1472, 8000):
        assert t.guest.ping(world.ADDRESS, "-s", str(size)), f"{size} bytes of payload"


@case(links=MAIN)
def test_no_forged_reply(t):
    """An address that doesn't answer is not answered for."""
    assert not t.guest.ping(world.BLACK_HOLE, deadline=1)


@case(links=STREAM, start=False)
def test_unprivileged(t):
    """Without any capability echo works by ping sockets, where the host allows them."""
    t.proxy.start("--link", t.guest.link_argument(),
                  wrapper=["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"])
    t.guest.attach()
    t.guest.dhcp()
    assert t.guest.ping(GATEWAY)
    assert t.guest.ping(ALIAS)
    assert t.guest.ping(world.ADDRESS)
