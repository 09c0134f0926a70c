/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be said about a forward before it exists: whether two are the same, ranges of ports,
 * what guests may ask for, and the words for owners and failures. Pure.
 */
#ifndef FORWARDER_PUBLISH_SPEC_H
#define FORWARDER_PUBLISH_SPEC_H

#include "forwarder/publish.h"
#include "netstack/stack.h"

#define PUBLISH_OWNER_WORDS_MAX 128

/* "tcp", "udp" or "unix". */
const char *publish_protocol_text(enum publish_protocol protocol);
/* "config", "host" or "guest". */
const char *publish_owner_kind_text(enum publish_owner_kind kind);
/* "the configuration", "the host's API", "guest 1 for container x". */
const char *publish_owner_words(const struct publish_owner *owner,
				char to[static PUBLISH_OWNER_WORDS_MAX]);

/* Whether `owner` is one of those that `pattern` stands for: see publish_remove_owner(). */
bool publish_owner_matches(const struct publish_owner *owner, const struct publish_owner *pattern);
/* Whether the two ask for the same thing in the same name. */
bool publish_spec_equal(const struct publish_spec *a, const struct publish_spec *b);
/* Whether the host can't have both: the same transport and port, on addresses that overlap. */
bool publish_spec_overlaps(const struct publish_spec *spec, const struct publish_spec *other,
			   const struct endpoint *other_bound);

/* A guest as it is named by users: an address, IPv6 in brackets or not, or a name, which has a
 * letter in it. Fills one of the two. Returns 0 or -EINVAL. */
int publish_parse_guest(const char *text, struct addr *ret_addr,
			char ret_name[static PUBLISH_NAME_MAX]);
/* The guest that the remote is behind, in words; "" where it is none. */
const char *publish_via_text(const struct publish_spec *spec, char to[static PUBLISH_NAME_MAX]);
/* Fills in the texts that are "". */
void publish_spec_fill_texts(struct publish_spec *spec);
/* Whether it makes sense in this network: 0, -EHOSTUNREACH, -EINVAL or -ENAMETOOLONG with words. */
int publish_spec_check(const struct publish_spec *spec, const struct stack_conf *conf,
		       char why[static PUBLISH_WHY_MAX]);
/* Whether a guest may ask for it: 0, or -EPERM with words. */
int publish_rules_check(const struct publish_rule *rules, unsigned count,
			const struct publish_spec *spec, char why[static PUBLISH_WHY_MAX]);

/*
 * A range: `ports` consecutive ports from `base`'s on both sides, of base->protocol or of TCP and
 * UDP both. The texts of `base` are kept where it is one forward, else made anew. Returns 0 with an
 * array of *ret_count, owned (free()), or -EINVAL with words (a range that runs beyond 65535, is
 * larger than PUBLISH_RANGE_MAX, or begins with port 0), or -ENOMEM.
 */
int publish_expand(const struct publish_spec *base, unsigned ports, bool tcp_and_udp,
		   struct publish_spec **ret_specs, unsigned *ret_count,
		   char why[static PUBLISH_WHY_MAX]);

#endif
