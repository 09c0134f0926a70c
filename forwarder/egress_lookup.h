/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of the host's HTTP proxy, as they are now: its name may not be known yet when we
 * start, and means another machine when the host joins another network.
 *
 * The host's resolver (NSS: files, DNS, whatever else there is) answers as slowly as it likes, so a
 * child process asks it. While no address is known, guests' SYNs go unanswered, and come again.
 */
#ifndef FORWARDER_EGRESS_LOOKUP_H
#define FORWARDER_EGRESS_LOOKUP_H

#include "base/loop.h"
#include "forwarder/egress.h"

/* Addresses that have been in use for so long are asked for again, beside their further use. */
#define EGRESS_LOOKUP_AGE_MS 60000
/* How soon a lookup may follow another one that didn't help. */
#define EGRESS_LOOKUP_RETRY_MS 5000

struct egress;

/* Returns 0 with an owned way out; `conf`'s exceptions are borrowed as long as it lives. Lookups
 * begin at once. */
int egress_new(struct loop *loop, const struct egress_conf *conf, struct egress **ret_egress);
/* NULL is fine. */
void egress_free(struct egress *egress);

/* With the addresses as they are now; egress_exempts_name() takes it. */
const struct egress_conf *egress_now(const struct egress *egress);
/* As egress_find(), for a connection that is to be made: starts a lookup where it is time. The
 * proxy may have no address yet. */
const struct egress_proxy *egress_use(struct egress *egress, const struct endpoint *to);
/* None of the proxy's addresses could be reached: others may be right by now. */
void egress_unreachable(struct egress *egress, const struct egress_proxy *proxy);

#endif
