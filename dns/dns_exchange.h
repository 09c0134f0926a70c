/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One query to one resolver, over a socket of its own: its kernel-chosen source port and a random
 * ID are what a forger would have to guess, and being connected, the socket hears of ICMP errors.
 * Whom to ask when, and for how long to wait, is dns_upstream.c's.
 */
#ifndef DNS_DNS_EXCHANGE_H
#define DNS_DNS_EXCHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "dns/dns_resolvconf.h"
#include "dns/dns_wire.h"

enum dns_transport { DNS_UDP, DNS_TCP };

struct dns_exchange;

/*
 * The end of an exchange, called from the loop, at most once: a reply that fits the query (borrowed
 * for the call; it carries the exchange's ID), or `error`, a negative errno, and no reply. May free
 * the exchange.
 */
typedef void dns_exchange_fn(void *arg, int error, const void *reply, size_t size);

/*
 * Sends the message (borrowed as long as the exchange lives, at least a header; `query` is what it
 * says) under an ID of the exchange's own. `scratch` is DNS_MESSAGE_MAX bytes that any number of
 * exchanges share. Returns 0 with an owned exchange, or -errno when it failed at once.
 */
int dns_exchange_new(struct loop *loop, enum dns_transport transport,
		     const struct dns_resolver *resolver, const struct dns_query *query,
		     const void *message, size_t size, uint8_t *scratch, dns_exchange_fn *fn,
		     void *arg, struct dns_exchange **ret_exchange);
/* Sends the same datagram once more; on TCP, where nothing gets lost, does nothing. */
void dns_exchange_resend(struct dns_exchange *exchange);
void dns_exchange_free(struct dns_exchange *exchange);
/* Datagrams that came in and were no reply to the query. */
unsigned dns_exchange_mismatches(const struct dns_exchange *exchange);

#endif
