/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connect on the host's side ends, as the guest is to see it: the decisions of
 * flow_tcp_connect.c, apart from the sockets.
 */
#ifndef FORWARDER_FLOW_TCP_CONNECT_H
#define FORWARDER_FLOW_TCP_CONNECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "netstack/conn.h"

/* A connect on the host's side that takes longer has failed. The host's kernel sends its SYN until
 * about then, and a guest's last one comes 63 s after its first. */
#define FLOW_TCP_CONNECT_TIMEOUT_MS 75000

/* A guest that hasn't repeated its SYN for so long has given up, if it hasn't shown more patience
 * before (RFC 6298: the first repetition comes after 1 s, at most after 3 s, and then each after
 * twice the time). */
#define FLOW_TCP_GIVEN_UP_MS 10000

/*
 * What the guest is told about an errno of socket(), connect() or SO_ERROR: what the far side or a
 * router on the way would have said. Where nobody would have said anything, because nobody answered
 * or because it is only this host that lacks something for the moment, it is silence: the guest
 * sends its SYN again, which is a new attempt. `family` is the host's side's.
 */
enum conn_refusal flow_tcp_refusal(int error, sa_family_t family);

/* Whether the errno says that this host lacks something, which its user should hear of. */
bool flow_tcp_is_shortage(int error, sa_family_t family);

/* Until when a guest counts as waiting for its connection, whose SYN came at `last_ms`, and
 * `gap_ms` after the one before it (0: it is the only one). */
uint64_t flow_tcp_waits_until(uint64_t last_ms, uint64_t gap_ms);

#endif
