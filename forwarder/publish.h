/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published ports: listeners on the host whose traffic goes to a guest.
 *
 * A forward has a local side (where the host listens: TCP, UDP, or a unix socket), a remote side (a
 * guest's endpoint, IPv4 or IPv6, a port of a guest that is known by name, or an endpoint behind a
 * guest, such as a container's, which that guest routes for), and an owner. Its
 * identity is (local text, protocol): one at a time. Owners are those who asked: the host's
 * configuration, the host's API, or a guest through its own door; a forward goes when its owner
 * takes it back or goes itself.
 *
 * TCP and unix: the listener accepts, the guest is dialled through the stack from the client's own
 * address, and the two are spliced by the same flow code as connections out. A client whose guest
 * refuses is reset. UDP: one flow per client address, with a timeout. A client that a guest could
 * not answer at its own address appears as the gateway (publish_source.h).
 */
#ifndef FORWARDER_PUBLISH_H
#define FORWARDER_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/list.h"
#include "base/loop.h"
#include "forwarder/forwarder.h"

#define PUBLISH_FORWARDS_MAX 16384 /* in all */
#define PUBLISH_OWNER_MAX    4096  /* of one guest */
/* Of all guests: this part of our file descriptors, so that some are left for others. */
#define PUBLISH_GUESTS_FD_SHARE 16
#define PUBLISH_RANGE_MAX       4096 /* added by one call */
#define PUBLISH_TEXT_MAX        160
#define PUBLISH_NAME_MAX        80 /* of a forward, an owner, or a guest; a container's id has 64 */
#define PUBLISH_WHY_MAX         192

enum publish_protocol {
	PUBLISH_TCP,
	PUBLISH_UDP,
	PUBLISH_UNIX, /* a unix stream socket of the host's, to a guest's TCP port */
};

/* Who asked for a forward. */
enum publish_owner_kind {
	PUBLISH_OWNER_CONFIG, /* command line and configuration file */
	PUBLISH_OWNER_HOST,   /* the host's API */
	PUBLISH_OWNER_GUEST,  /* a guest: `id` says which */
};

struct publish_owner {
	enum publish_owner_kind kind;
	uint32_t id;                 /* of the guest's door; 0 otherwise */
	uint64_t lease;              /* the connection that the forward ends with; 0: none */
	char text[PUBLISH_NAME_MAX]; /* for whom, such as a container; may be "" */
};

/* As whom a guest sees clients. */
enum publish_source {
	PUBLISH_SOURCE_CLIENT,  /* as themselves, where that is possible */
	PUBLISH_SOURCE_GATEWAY, /* always as the gateway */
};

struct publish_spec {
	enum publish_protocol protocol;
	enum publish_source source;
	bool proxy_v2; /* tell the guest of each client by a PROXY header (proxy_header.h) */
	struct endpoint local;  /* AF_UNSPEC: all addresses, both families; port 0: any. Not of
				   PUBLISH_UNIX */
	struct endpoint remote; /* in the guests' network, or behind a guest; AF_UNSPEC: that of
				   `guest` */
	struct addr via;        /* the guest that it is behind (netstack/behind.h); AF_UNSPEC: the
				   one of `via_name`, or none */
	char guest[PUBLISH_NAME_MAX];       /* a guest's name, resolved for each client; "": none */
	char via_name[PUBLISH_NAME_MAX];    /* the same */
	char name[PUBLISH_NAME_MAX];        /* what the user calls the forward; may be "" */
	char local_text[PUBLISH_TEXT_MAX];  /* as the caller wrote it: what unexpose must repeat; of
					       PUBLISH_UNIX the path; otherwise it may be "" */
	char remote_text[PUBLISH_TEXT_MAX]; /* may be "" */
	struct publish_owner owner;
};

struct publish_info {
	const struct publish_spec *spec; /* borrowed */
	struct endpoint bound;           /* where it really listens; not of PUBLISH_UNIX */
	uint64_t connections;            /* accepted so far; UDP: clients */
	uint64_t refused;                /* of those, not taken by the guest */
	uint64_t active;                 /* of those, still there */
	uint64_t bytes_to_guest;         /* payload */
	uint64_t bytes_to_host;
};

struct publish;

int publish_new(struct loop *loop, struct forwarder *forwarder, struct publish **ret_publish);
/* Closes every listener; connections live as long as the forwarder. */
void publish_free(struct publish *publish);

/* ---- What others know ---- */

/* The address of the guest of that name, of `family` if it has one of it, else of the other.
 * Returns 0 or -ENOENT. */
typedef int publish_resolve_fn(void *arg, const char *guest, sa_family_t family, struct addr *ret);
void publish_set_resolver(struct publish *publish, publish_resolve_fn *fn, void *arg);

/* What a guest may bind on the host: any of these. */
struct publish_rule {
	struct prefix hosts; /* AF_UNSPEC: any address, and all addresses at once */
	uint16_t first, last;
};
/* Guests may publish what one of the rules allows; without this call, everything. The rules are
 * copied. Forwards that there are stay. Returns 0 or -ENOMEM. */
int publish_set_guest_rules(struct publish *publish, const struct publish_rule *rules,
			    unsigned count);

/* ---- Adding and removing ---- */

/* Why a forward could not be added. */
struct publish_failure {
	unsigned index; /* of the specs, the one that failed */
	const struct publish_spec
		*holder;           /* the forward in the way, borrowed; NULL: none of ours */
	char why[PUBLISH_WHY_MAX]; /* where the errno doesn't say enough, else "" */
};

/* What is there already, the same and by the same owner, is no error. */
#define PUBLISH_AGAIN_OK 0x1u

/*
 * Starts forwards, all of them or none; at most PUBLISH_RANGE_MAX. On success the specs say what
 * became of them: a port that was picked is in `local` and in `local_text`, and both texts are
 * filled in. Returns 0, or -errno with *ret_failure, unless that is NULL:
 * -EEXIST that local side is published already; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES ... from the
 * host's bind; -EHOSTUNREACH the remote is neither a guest's address nor behind one; -EPERM this is
 * not for guests; -ENOSPC too many; -EINVAL, -ENAMETOOLONG the spec makes no sense.
 */
int publish_add(struct publish *publish, struct publish_spec *specs, unsigned count, unsigned flags,
		struct publish_failure *ret_failure);
/* Ends the forward with this local text and protocol; connections made through it live on. A guest
 * (owner kind GUEST) can only end its own, and who gives a text only what was published with it.
 * Returns 0, -ENOENT, or -EPERM. */
int publish_remove(struct publish *publish, const char *local_text, enum publish_protocol protocol,
		   const struct publish_owner *by);
/* Ends all of an owner's forwards: those of its kind and id, and where `owner` says so, of its
 * lease and text. Returns how many. */
unsigned publish_remove_owner(struct publish *publish, const struct publish_owner *owner);
/* The address is no guest's any more, or another's: ends what guests published of it, or behind it.
 */
unsigned publish_remove_guest_address(struct publish *publish, const struct addr *addr);
/* Ends the forwards of that name which `by` may end; returns how many. */
unsigned publish_remove_name(struct publish *publish, const char *name,
			     const struct publish_owner *by);

/* ---- Looking ---- */

typedef void publish_visit_fn(void *arg, const struct publish_info *info);
/* Visits all forwards, sorted by local text, then protocol. The visitor must not add or remove any.
 */
void publish_for_each(struct publish *publish, publish_visit_fn *fn, void *arg);
/* The forward with this local text and protocol. Returns 0 or -ENOENT. */
int publish_find(struct publish *publish, const char *local_text, enum publish_protocol protocol,
		 struct publish_info *ret_info);
size_t publish_count(const struct publish *publish);

/* Told of each forward that comes or goes; embedded in whoever wants to hear it, which must not add
 * or remove forwards in the callback. */
struct publish_watcher {
	void (*fn)(void *arg, const struct publish_info *info, bool added);
	void *arg;
	struct list link;
};
void publish_watch(struct publish *publish, struct publish_watcher *watcher);
void publish_unwatch(struct publish_watcher *watcher);

#endif
