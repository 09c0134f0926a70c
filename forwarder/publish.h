/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published ports: listeners on the host whose traffic goes to a guest.
 *
 * A forward has a local side (where the host listens), a remote side (a guest's endpoint), a
 * protocol and an owner. Its identity is (local, protocol): one at a time. Owners are those who
 * asked: the host's configuration, the host's API, or a guest through its own door; an owner's
 * forwards can be dropped together when it goes.
 *
 * TCP: the listener accepts, the guest is dialled through the stack from the client's own address
 * (a client on the host's loopback appears as the gateway), and the two are spliced by the same
 * flow code as connections out. A client whose guest refuses is reset. UDP: one flow per client
 * address, with a timeout.
 */
#ifndef FORWARDER_PUBLISH_H
#define FORWARDER_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "forwarder/forwarder.h"

#define PUBLISH_FORWARDS_MAX 16384 /* in all */
#define PUBLISH_OWNER_MAX    4096  /* of one guest */
#define PUBLISH_TEXT_MAX     160

enum publish_protocol { PUBLISH_TCP, PUBLISH_UDP };

/* Who asked for a forward. */
enum publish_owner_kind {
	PUBLISH_OWNER_CONFIG, /* command line and configuration file */
	PUBLISH_OWNER_HOST,   /* the host's API */
	PUBLISH_OWNER_GUEST,  /* a guest: `id` says which */
};

struct publish_owner {
	enum publish_owner_kind kind;
	uint32_t id; /* of the guest's door; 0 otherwise */
};

struct publish_spec {
	enum publish_protocol protocol;
	struct endpoint local;  /* AF_UNSPEC: all addresses, both families; port 0: any */
	struct endpoint remote; /* in the guests' network */
	char local_text[PUBLISH_TEXT_MAX]; /* as the caller wrote it: what unexpose must repeat; may
					      be "" */
	char remote_text[PUBLISH_TEXT_MAX];
	struct publish_owner owner;
};

struct publish_info {
	const struct publish_spec *spec; /* borrowed */
	struct endpoint bound;           /* where it really listens */
	uint64_t connections;            /* accepted so far; UDP: clients */
	uint64_t refused;                /* of those, not taken by the guest */
};

struct publish;

int publish_new(struct loop *loop, struct forwarder *forwarder, struct publish **ret_publish);
/* Closes every listener; connections live as long as the forwarder. */
void publish_free(struct publish *publish);

/*
 * Starts a forward. Returns 0, and where it listens in *ret_bound unless that is NULL. -EEXIST:
 * that local side is published already, by *ret_holder (borrowed, may be NULL). -EADDRINUSE,
 * -EADDRNOTAVAIL, -EACCES ... from the host's bind. -EHOSTUNREACH: the remote is not an address of
 * the guests' network. -ENOSPC: too many.
 */
int publish_add(struct publish *publish, const struct publish_spec *spec,
		struct endpoint *ret_bound, const struct publish_spec **ret_holder);
/* Ends the forward with this local text and protocol; connections made through it live on. A guest
 * (owner kind GUEST) can only end its own. Returns 0, -ENOENT, or -EPERM. */
int publish_remove(struct publish *publish, const char *local_text, enum publish_protocol protocol,
		   const struct publish_owner *by);
/* Ends all of an owner's forwards; returns how many. */
unsigned publish_remove_owner(struct publish *publish, const struct publish_owner *owner);

typedef void publish_visit_fn(void *arg, const struct publish_info *info);
/* Visits all forwards, sorted by local text, then protocol. The visitor must not add or remove any.
 */
void publish_for_each(struct publish *publish, publish_visit_fn *fn, void *arg);
size_t publish_count(const struct publish *publish);

#endif
