/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control API: HTTP/JSON, in gvproxy's shapes where gvproxy has them, ours under /v1/. One
 * table of routes (api.c) says what exists and who may; which door a request came through says who
 * asks.
 *
 * A door is a listening socket: of the host (a unix socket, or TCP on the host's loopback), or of
 * one guest (the unix socket that a vsock device connects to). A guest that calls the gateway
 * inside the network has a door without a socket, made for it when it calls. A door has its own
 * connections and limits, so one guest's requests don't stand in the way of another's or of the
 * host's.
 *
 * What a request needs comes through struct api_backend: queries of the other parts of the network,
 * filled in by main.
 */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "base/sock.h"
#include "forwarder/forwarder.h"
#include "forwarder/publish.h"

#define API_DOORS_MAX 128
/* Guests that call inside the network; those that have been quiet longest make room. */
#define API_NETWORK_DOORS_MAX 1024
/* Longest message of api_listen_*(). */
#define API_LISTEN_ERROR_MAX 256
/* The port of vsock that guests find the API at. */
#define API_VSOCK_PORT 6565

#define API_LEASE_NEVER_ENDS UINT64_MAX

/* A guest's lease; all borrowed for the call that it is given to. */
struct api_lease {
	struct addr address;
	struct mac mac;
	const char *hostname; /* "" when unknown */
	uint64_t expires_s;   /* from now, or API_LEASE_NEVER_ENDS */
};

/* Whose a static lease is. */
enum api_static_owner {
	API_STATIC_CONFIG,
	API_STATIC_GUEST, /* it asked for it as it attached */
	API_STATIC_HOST,  /* added by a request */
};

/* An address that a guest always gets; all borrowed for the call that it is given to. */
struct api_static_lease {
	struct addr address;
	struct mac mac;
	bool by_mac; /* else it is a client identifier's, which isn't told; not of requests */
	const char *hostname; /* "": none */
	enum api_static_owner owner;
	uint64_t connection; /* the lease ends with it; 0: with none */
};

/* Why a static lease couldn't be added or removed. */
struct api_static_failure {
	char why[256];    /* for the user */
	char holder[128]; /* who has what was asked for; "": nobody */
};

struct api_dns_record {
	const char *name;   /* relative to the zone; "" where there is only a regexp */
	const char *regexp; /* NULL: none */
	struct addr ip;
	bool is_built_in; /* always there; not of requests */
};

/* A zone of names; all borrowed for the call that it is given to. */
struct api_dns_zone {
	const char *name;
	const struct api_dns_record *records;
	size_t record_count;
	struct addr default_ip; /* AF_UNSPEC: none */
	bool is_shared; /* only its records are ours, and the rest is whoever's; not of requests */
};

/* Something that others count, for /metrics; all borrowed for the call that it is given to. */
struct api_counter {
	const char *name;   /* as routes_metrics.c names things, such as "dns_queries_total" */
	const char *help;   /* of that name; NULL where it is the one before */
	const char *labels; /* "", or such as {family="ipv4"}, different for each of a name */
	uint64_t value;     /* grows only where the name ends in "_total" */
};

typedef void api_counter_fn(void *visitor, const struct api_counter *counter);
typedef void api_lease_fn(void *visitor, const struct api_lease *lease);
typedef void api_static_fn(void *visitor, const struct api_static_lease *lease);
typedef void api_dns_fn(void *visitor, const struct api_dns_zone *zone);

/*
 * What the API asks of the rest. Copied by api_new(); what it points to must outlive the API. Every
 * function gets `arg`. Functions marked optional may be NULL: their routes then answer that there
 * is no such service.
 */
struct api_backend {
	struct forwarder *forwarder;
	struct publish *publish;
	void *arg;

	/* Visits the leases; optional. */
	void (*leases)(void *arg, api_lease_fn *fn, void *visitor);
	/* Visits the static leases, in order; optional, and then the following aren't called. */
	void (*static_leases)(void *arg, api_static_fn *fn, void *visitor);
	/* Adds one; the same again is no error. Returns 0, or with *ret_failure -EINVAL, -EEXIST or
	 * -EADDRINUSE (taken), -ENOSPC, -ENOTSUP, -ENOMEM. */
	int (*static_lease_add)(void *arg, const struct api_static_lease *lease,
				struct api_static_failure *ret_failure);
	/* Returns 0, or with *ret_failure -ENOENT, -EADDRINUSE (another MAC's), -EPERM or -ENOTSUP.
	 */
	int (*static_lease_remove)(void *arg, const struct addr *address, const struct mac *mac,
				   struct api_static_failure *ret_failure);
	/* A connection has ended. */
	void (*static_leases_drop)(void *arg, uint64_t connection);
	/* Visits the zones of local names; optional. */
	void (*dns_zones)(void *arg, api_dns_fn *fn, void *visitor);
	/* Adds a zone, or records to one. Returns 0, or -errno with a message for the user;
	 * optional. */
	int (*dns_add)(void *arg, const struct api_dns_zone *zone, char *error, size_t error_size);
	/* Makes a zone what `zone` says, but for its built-in records. Returns 0, or -errno with a
	 * message for the user; optional. */
	int (*dns_put)(void *arg, const struct api_dns_zone *zone, char *error, size_t error_size);
	/* Removes a zone, but for its built-in records. Returns 0, -ENOENT, or -EPERM when there is
	 * nothing else in it; optional. */
	int (*dns_remove)(void *arg, const char *name);
	/*
	 * The address of the guest that a door belongs to: what it may publish, and what an empty
	 * host means that it says in `remote`. For the host's doors (`guest_id` 0), where an empty
	 * host means the first guest. Returns 0, or -ENOENT: that guest has no address yet.
	 */
	int (*guest_addr)(void *arg, uint32_t guest_id, struct addr *ret);
	/* Whether an address is that guest's, too, such as its IPv6 ones; optional. */
	bool (*guest_owns)(void *arg, uint32_t guest_id, const struct addr *addr);
	/* Visits what there is to count besides; optional. */
	void (*counters)(void *arg, api_counter_fn *fn, void *visitor);
};

enum api_door_kind {
	API_DOOR_HOST,  /* may do everything */
	API_DOOR_GUEST, /* a guest, by vsock or on the gateway: publishes its own ports, and
			   nothing else */
};

struct api_door {
	enum api_door_kind kind;
	uint32_t guest_id; /* of API_DOOR_GUEST: the id of its forwards' owner (struct
			      publish_owner) */
	bool may_connect;  /* a guest whose links may come by /connect, up to
			      LIVE_GUEST_LINKS_MAX of them */
};

struct api;

/* Returns 0 with an owned API without any door, or -ENOMEM. */
int api_new(struct loop *loop, const struct api_backend *backend, struct api **ret_api);
/* Closes all doors and connections, and removes the files of unix sockets. Forwards stay. NULL is
 * fine. */
void api_free(struct api *api);

/* Opens a door at a unix socket, or on TCP. Returns 0, or -errno with a message for the user in
 * `error`; -ENOSPC at API_DOORS_MAX. Of TCP, *ret_at, if not NULL, says where it is (for port 0).
 */
int api_listen_unix(struct api *api, const char *path, const struct api_door *door,
		    char error[static API_LISTEN_ERROR_MAX]);
int api_listen_tcp(struct api *api, const struct endpoint *at, const struct api_door *door,
		   struct endpoint *ret_at, char error[static API_LISTEN_ERROR_MAX]);
/*
 * A guest has called inside the network: serves the connection `fd`, a stream socket that doesn't
 * block, which is taken, also on failure. Returns 0, -ENOMEM, or -ENOSPC at API_NETWORK_DOORS_MAX.
 */
int api_serve_guest(struct api *api, uint32_t guest_id, int fd);

#endif
