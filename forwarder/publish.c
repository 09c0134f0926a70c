/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports: the table of forwards, and their TCP listeners; see publish.h. UDP is in
 * publish_udp.c. */
#include "forwarder/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/hmap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"
#include "forwarder/forwarder_private.h"
#include "forwarder/publish_source.h"
#include "forwarder/publish_udp.h"

LOG_MODULE("publish");

#define LISTEN_BACKLOG 1024
#define ACCEPTS_MAX    64 /* from one listener before others get their turn */
#define PORT_ATTEMPTS  16
/* How long a listener rests when the host has no more fds. */
#define ACCEPT_PAUSE_MS 100

struct forward {
	struct hmap_node node; /* by (local_text, protocol) */
	struct publish *publish;
	struct publish_spec spec;
	struct endpoint bound;
	int listen_fd;
	struct loop_fd *watch;
	struct loop_timer *pause;
	struct publish_udp_port *udp;
	uint64_t connections;
	uint64_t refused;
	struct flow_tcp_traffic traffic;
	unsigned refs; /* the table, and each TCP connection made through it */
};

struct publish {
	struct loop *loop;
	struct forwarder *forwarder;
	struct publish_udp *udp;
	struct hmap forwards;
	struct hash_key key;
};

static uint64_t text_hash(const struct publish *publish, const char *text,
			  enum publish_protocol protocol)
{
	return hash_bytes(&publish->key, text, strlen(text)) + (uint64_t)protocol;
}

static struct forward *find(struct publish *publish, const char *text,
			    enum publish_protocol protocol)
{
	struct hmap_node *node = hmap_find(&publish->forwards, text_hash(publish, text, protocol));

	for (; node; node = hmap_find_next(node)) {
		struct forward *forward = container_of(node, struct forward, node);

		if (forward->spec.protocol == protocol &&
		    strcmp(forward->spec.local_text, text) == 0)
			return forward;
	}
	return NULL;
}

static bool same_owner(const struct publish_owner *a, const struct publish_owner *b)
{
	return a->kind == b->kind && a->id == b->id;
}

static void forward_unref(struct forward *forward)
{
	if (--forward->refs == 0)
		free(forward);
}

/* Stops listening; the memory lives until the last connection attempt was answered. */
static void forward_end(struct forward *forward)
{
	hmap_remove(&forward->publish->forwards, &forward->node);
	forward->publish = NULL;
	loop_fd_free(forward->watch);
	loop_timer_free(forward->pause);
	forward->watch = NULL;
	forward->pause = NULL;
	fd_close(&forward->listen_fd);
	publish_udp_port_free(forward->udp);
	forward->udp = NULL;
	forward_unref(forward);
}

/* ---- TCP ---- */

static void on_opened(void *arg, bool accepted)
{
	struct forward *forward = arg;

	if (!accepted)
		forward->refused++;
}

static void on_closed(void *arg)
{
	forward_unref(arg);
}

static void serve_client(struct forward *forward, int fd, const struct endpoint *client)
{
	struct publish *publish = forward->publish;
	struct stack *stack = forwarder_stack(publish->forwarder);
	struct endpoint from = publish_source(stack_conf(stack), client);
	int r = -EADDRINUSE;

	forward->connections++;
	for (int i = 0; i < PORT_ATTEMPTS && r == -EADDRINUSE; i++) {
		forward->refs++;
		r = flow_tcp_in(forwarder_tcp(publish->forwarder), stack,
				&(struct flow_tcp_inbound){
					.fd = fd,
					.from = &from,
					.guest = &forward->spec.remote,
					.traffic = &forward->traffic,
					.opened = on_opened,
					.closed = on_closed,
					.arg = forward,
				});
		if (r == 0)
			return;
		forward_unref(forward);
		/* Another client with this port is known to the guest as the gateway, too. */
		from.port = publish_random_port();
	}
	forward->refused++;
	log_limited(LOG_LEVEL_WARN, "a client of the published port %s was turned away: %s",
		    forward->spec.local_text, strerror(-r));
	fd_close(&fd);
}

static void on_pause_over(void *arg)
{
	struct forward *forward = arg;

	loop_fd_set(forward->watch, LOOP_READ);
}

static void on_listener(void *arg, int fd, unsigned ready)
{
	struct forward *forward = arg;

	(void)ready;
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		struct endpoint client;
		int client_fd;
		int r = sock_accept(fd, &client_fd, &client);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			log_limited(LOG_LEVEL_ERROR, "published port %s can't accept: %s",
				    forward->spec.local_text, strerror(-r));
			loop_fd_set(forward->watch, 0);
			loop_timer_set(forward->pause, ACCEPT_PAUSE_MS);
			return;
		}
		serve_client(forward, client_fd, &client);
	}
}

/* ---- Adding and removing ---- */

static int listen_tcp(struct forward *forward)
{
	struct loop *loop = forward->publish->loop;
	int r = sock_listen_tcp(&forward->spec.local, LISTEN_BACKLOG, &forward->listen_fd,
				&forward->bound);

	if (r == 0)
		r = loop_timer_new(loop, on_pause_over, forward, &forward->pause);
	if (r == 0)
		r = loop_fd_new(loop, forward->listen_fd, LOOP_READ, on_listener, forward,
				&forward->watch);
	return r;
}

static int listen_udp(struct forward *forward)
{
	int fd;
	int r = sock_bind_udp(&forward->spec.local, &fd, &forward->bound);

	if (r < 0)
		return r;
	return publish_udp_port_new(forward->publish->udp, fd, &forward->spec.remote,
				    &forward->connections, &forward->udp);
}

static bool is_guest_address(const struct publish *publish, const struct addr *addr)
{
	const struct stack_conf *conf = stack_conf(forwarder_stack(publish->forwarder));

	return prefix_contains(&conf->subnet, addr) && !addr_equal(addr, &conf->gateway) &&
	       !addr_equal(addr, &conf->alias);
}

static unsigned owner_count(struct publish *publish, const struct publish_owner *owner)
{
	unsigned count = 0;

	hmap_for_each (node, &publish->forwards) {
		if (same_owner(&container_of(node, struct forward, node)->spec.owner, owner))
			count++;
	}
	return count;
}

static int check_limits(struct publish *publish, const struct publish_owner *owner)
{
	if (publish->forwards.count >= PUBLISH_FORWARDS_MAX)
		return -ENOSPC;
	/* Counting costs a walk: only where it can matter. */
	if (owner->kind == PUBLISH_OWNER_GUEST && publish->forwards.count >= PUBLISH_OWNER_MAX &&
	    owner_count(publish, owner) >= PUBLISH_OWNER_MAX)
		return -ENOSPC;
	return 0;
}

static int forward_start(struct publish *publish, struct forward *forward)
{
	int r;

	forward->publish = publish;
	forward->listen_fd = -1;
	forward->refs = 1;
	r = hmap_insert(&publish->forwards, &forward->node,
			text_hash(publish, forward->spec.local_text, forward->spec.protocol));
	if (r < 0) {
		free(forward);
		return r;
	}
	r = forward->spec.protocol == PUBLISH_TCP ? listen_tcp(forward) : listen_udp(forward);
	if (r < 0)
		forward_end(forward);
	return r;
}

static void log_published(const struct forward *forward)
{
	char bound[ENDPOINT_TEXT_MAX], remote[ENDPOINT_TEXT_MAX];

	log_info("published %s %s -> %s", forward->spec.protocol == PUBLISH_TCP ? "tcp" : "udp",
		 endpoint_format(&forward->bound, bound),
		 endpoint_format(&forward->spec.remote, remote));
}

int publish_add(struct publish *publish, const struct publish_spec *spec,
		struct endpoint *ret_bound, const struct publish_spec **ret_holder)
{
	struct forward *forward;
	int r;

	if (!is_guest_address(publish, &spec->remote.addr))
		return -EHOSTUNREACH;
	r = check_limits(publish, &spec->owner);
	if (r < 0)
		return r;
	forward = calloc(1, sizeof(*forward));
	if (!forward)
		return -ENOMEM;
	forward->spec = *spec;
	if (!forward->spec.local_text[0])
		endpoint_format(&spec->local, forward->spec.local_text);
	if (!forward->spec.remote_text[0])
		endpoint_format(&spec->remote, forward->spec.remote_text);
	if (find(publish, forward->spec.local_text, spec->protocol)) {
		if (ret_holder)
			*ret_holder = &find(publish, forward->spec.local_text, spec->protocol)
					       ->spec;
		free(forward);
		return -EEXIST;
	}
	r = forward_start(publish, forward);
	if (r < 0)
		return r;
	log_published(forward);
	if (ret_bound)
		*ret_bound = forward->bound;
	return 0;
}

int publish_remove(struct publish *publish, const char *local_text, enum publish_protocol protocol,
		   const struct publish_owner *by)
{
	struct forward *forward = find(publish, local_text, protocol);

	if (!forward)
		return -ENOENT;
	if (by->kind == PUBLISH_OWNER_GUEST && !same_owner(&forward->spec.owner, by))
		return -EPERM;
	log_info("unpublished %s %s", protocol == PUBLISH_TCP ? "tcp" : "udp", local_text);
	forward_end(forward);
	return 0;
}

unsigned publish_remove_owner(struct publish *publish, const struct publish_owner *owner)
{
	struct hmap_node *node = hmap_next(&publish->forwards, NULL);
	unsigned count = 0;

	while (node) {
		struct forward *forward = container_of(node, struct forward, node);

		node = hmap_next(&publish->forwards, node);
		if (!same_owner(&forward->spec.owner, owner))
			continue;
		forward_end(forward);
		count++;
	}
	return count;
}

/* ---- Listing ---- */

static int compare(const void *a, const void *b)
{
	const struct publish_spec *x = &(*(struct forward *const *)a)->spec;
	const struct publish_spec *y = &(*(struct forward *const *)b)->spec;
	int order = strcmp(x->local_text, y->local_text);

	return order ? order : (int)x->protocol - (int)y->protocol;
}

void publish_for_each(struct publish *publish, publish_visit_fn *fn, void *arg)
{
	size_t count = 0;
	struct forward **sorted = calloc(publish->forwards.count + 1, sizeof(struct forward *));

	if (!sorted)
		return;
	hmap_for_each (node, &publish->forwards)
		sorted[count++] = container_of(node, struct forward, node);
	qsort(sorted, count, sizeof(struct forward *), compare);
	for (size_t i = 0; i < count; i++) {
		struct publish_info info = {
			.spec = &sorted[i]->spec,
			.bound = sorted[i]->bound,
			.connections = sorted[i]->connections,
			.refused = sorted[i]->refused,
		};

		fn(arg, &info);
	}
	free(sorted);
}

size_t publish_count(const struct publish *publish)
{
	return publish->forwards.count;
}

int publish_new(struct loop *loop, struct forwarder *forwarder, struct publish **ret_publish)
{
	struct publish *publish = calloc(1, sizeof(*publish));
	int r;

	if (!publish)
		return -ENOMEM;
	publish->loop = loop;
	publish->forwarder = forwarder;
	publish->key = hash_key_random();
	hmap_init(&publish->forwards);
	r = publish_udp_new(loop, forwarder, &publish->udp);
	if (r < 0) {
		free(publish);
		return r;
	}
	*ret_publish = publish;
	return 0;
}

void publish_free(struct publish *publish)
{
	struct hmap_node *node;

	if (!publish)
		return;
	while ((node = hmap_next(&publish->forwards, NULL)))
		forward_end(container_of(node, struct forward, node));
	publish_udp_free(publish->udp);
	hmap_destroy(&publish->forwards);
	free(publish);
}
