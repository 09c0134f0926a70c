/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports: the table of forwards, who may change it, and who hears of it; see publish.h.
 * The sockets are in publish_tcp.c and publish_udp.c. */
#include "forwarder/publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/sock.h"
#include "forwarder/forwarder_private.h"
#include "forwarder/publish_private.h"
#include "forwarder/publish_spec.h"
#include "forwarder/publish_udp.h"

LOG_MODULE("publish");

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

static struct publish_info info_of(const struct forward *forward)
{
	return (struct publish_info){
		.spec = &forward->spec,
		.bound = forward->bound,
		.connections = forward->connections,
		.refused = forward->refused,
		.active = forward->active,
		.bytes_to_guest = forward->traffic.to_guest,
		.bytes_to_host = forward->traffic.to_host,
	};
}

void forward_unref(struct forward *forward)
{
	if (--forward->refs == 0)
		free(forward);
}

/* Stops listening; the memory lives until the last connection is over. */
static void forward_end(struct forward *forward)
{
	hmap_remove(&forward->publish->forwards, &forward->node);
	if (forward->spec.owner.kind == PUBLISH_OWNER_GUEST)
		forward->publish->guest_forwards--;
	forward->publish = NULL;
	forward_unlisten(forward);
	publish_udp_port_free(forward->udp);
	forward->udp = NULL;
	forward_unref(forward);
}

/* The address of a guest's name, if there is one. */
static int resolve_name(const struct publish *publish, const char *name, sa_family_t family,
			struct addr *addr)
{
	if (!name[0])
		return 0;
	if (!publish->resolve || publish->resolve(publish->resolve_arg, name, family, addr) < 0)
		return -ENOENT;
	return 0;
}

int forward_resolve(const struct forward *forward, sa_family_t family, struct endpoint *ret_guest,
		    struct addr *ret_hop)
{
	const struct publish_spec *spec = &forward->spec;
	struct endpoint guest = spec->remote;
	struct addr hop = spec->via;
	int r = resolve_name(forward->publish, spec->guest, family, &guest.addr);

	if (r == 0)
		r = resolve_name(forward->publish, spec->via_name, guest.addr.family, &hop);
	if (r < 0)
		return r;
	*ret_guest = guest;
	*ret_hop = hop;
	return 0;
}

/* ---- Watchers ---- */

static void tell(struct publish *publish, const struct forward *forward, bool added)
{
	struct publish_info info = info_of(forward);

	list_for_each_safe (node, &publish->watchers) {
		struct publish_watcher *watcher = container_of(node, struct publish_watcher, link);

		watcher->fn(watcher->arg, &info, added);
	}
}

void publish_watch(struct publish *publish, struct publish_watcher *watcher)
{
	list_add_tail(&publish->watchers, &watcher->link);
}

void publish_unwatch(struct publish_watcher *watcher)
{
	list_remove(&watcher->link);
}

/* ---- Adding ---- */

static unsigned owner_count(struct publish *publish, const struct publish_owner *owner)
{
	struct publish_owner guest = {.kind = owner->kind, .id = owner->id};
	unsigned count = 0;

	hmap_for_each (node, &publish->forwards) {
		if (publish_owner_matches(&container_of(node, struct forward, node)->spec.owner,
					  &guest))
			count++;
	}
	return count;
}

static int check_limits(struct publish *publish, const struct publish_owner *owner, unsigned count)
{
	size_t there = publish->forwards.count;

	if (count > PUBLISH_RANGE_MAX || there + count > PUBLISH_FORWARDS_MAX)
		return -ENOSPC;
	if (owner->kind == PUBLISH_OWNER_GUEST &&
	    publish->guest_forwards + count > publish->guest_forwards_max)
		return -ENOSPC;
	/* Counting costs a walk: only where it can matter. */
	if (owner->kind == PUBLISH_OWNER_GUEST && there + count > PUBLISH_OWNER_MAX &&
	    owner_count(publish, owner) + count > PUBLISH_OWNER_MAX)
		return -ENOSPC;
	return 0;
}

static int listen_udp(struct forward *forward)
{
	int fd;
	int r = sock_bind_udp(&forward->spec.local, &fd, &forward->bound);

	if (r < 0)
		return r;
	return publish_udp_port_new(forward->publish->udp, fd, forward, &forward->udp);
}

static bool asks_for_any_port(const struct publish_spec *spec)
{
	return spec->protocol != PUBLISH_UNIX && !spec->local.port;
}

/* Whether the text ends in ":0", and so would stand for each that is given a port. */
static bool is_named_by_port(const struct publish_spec *spec)
{
	const char *colon = strrchr(spec->local_text, ':');

	return colon && strcmp(colon, ":0") == 0;
}

static int forward_new(struct publish *publish, const struct publish_spec *spec,
		       struct forward **ret_forward)
{
	struct forward *forward = calloc(1, sizeof(*forward));
	int r;

	if (!forward)
		return -ENOMEM;
	forward->spec = *spec;
	forward->publish = publish;
	forward->listen_fd = -1;
	forward->refs = 1;
	r = spec->protocol == PUBLISH_UDP ? listen_udp(forward) : forward_listen(forward);
	if (r == 0 && asks_for_any_port(spec)) {
		/* From here on it is known by the port that was picked. */
		forward->spec.local.port = forward->bound.port;
		if (is_named_by_port(spec))
			endpoint_format(&forward->spec.local, forward->spec.local_text);
	}
	if (r == 0)
		r = hmap_insert(
			&publish->forwards, &forward->node,
			text_hash(publish, forward->spec.local_text, forward->spec.protocol));
	if (r < 0) {
		forward_unlisten(forward);
		publish_udp_port_free(forward->udp);
		free(forward);
		return r;
	}
	if (spec->owner.kind == PUBLISH_OWNER_GUEST)
		publish->guest_forwards++;
	*ret_forward = forward;
	return 0;
}

/* The forward that has what this one asks for, by another name. */
static const struct publish_spec *find_holder(struct publish *publish,
					      const struct publish_spec *spec)
{
	hmap_for_each (node, &publish->forwards) {
		struct forward *forward = container_of(node, struct forward, node);

		if (publish_spec_overlaps(spec, &forward->spec, &forward->bound))
			return &forward->spec;
	}
	return NULL;
}

/* Whether who asks may have it. */
static int check_owner(const struct publish *publish, const struct publish_spec *spec,
		       char why[static PUBLISH_WHY_MAX])
{
	static const struct publish_rule any = {.last = UINT16_MAX};

	if (spec->owner.kind != PUBLISH_OWNER_GUEST)
		return 0;
	if (!publish->guest_rules)
		return publish_rules_check(&any, 1, spec, why);
	return publish_rules_check(publish->guest_rules, publish->guest_rule_count, spec, why);
}

/* Adds one. Returns 1 when it is there already, as it may be. */
static int add_one(struct publish *publish, struct publish_spec *spec, unsigned flags,
		   struct publish_failure *failure)
{
	const struct stack_conf *conf = stack_conf(forwarder_stack(publish->forwarder));
	struct forward *forward;
	int r;

	publish_spec_fill_texts(spec);
	r = publish_spec_check(spec, conf, failure->why);
	if (r == 0)
		r = check_owner(publish, spec, failure->why);
	if (r < 0)
		return r;
	forward = find(publish, spec->local_text, spec->protocol);
	if (forward && (flags & PUBLISH_AGAIN_OK) && publish_spec_equal(&forward->spec, spec)) {
		*spec = forward->spec;
		return 1;
	}
	if (forward) {
		failure->holder = &forward->spec;
		return -EEXIST;
	}
	r = forward_new(publish, spec, &forward);
	if (r == -EADDRINUSE)
		failure->holder = find_holder(publish, spec);
	if (r < 0)
		return r;
	*spec = forward->spec;
	return 0;
}

/* A guest can publish and take back as fast as it likes: of those only some are told. */
static void log_change(const struct forward *forward, bool added)
{
	char bound[ENDPOINT_TEXT_MAX], owner[PUBLISH_OWNER_WORDS_MAX], via[PUBLISH_NAME_MAX];
	const struct publish_spec *spec = &forward->spec;
	const char *what = added ? "published" : "unpublished";
	const char *where = spec->protocol == PUBLISH_UNIX
				    ? spec->local_text
				    : endpoint_format(&forward->bound, bound);
	const char *by_way = publish_via_text(spec, via)[0] ? " via " : "";

	publish_owner_words(&spec->owner, owner);
	if (spec->owner.kind == PUBLISH_OWNER_GUEST)
		log_limited(LOG_LEVEL_INFO, "%s %s %s -> %s%s%s by %s", what,
			    publish_protocol_text(spec->protocol), where, spec->remote_text, by_way,
			    via, owner);
	else
		log_info("%s %s %s -> %s%s%s by %s", what, publish_protocol_text(spec->protocol),
			 where, spec->remote_text, by_way, via, owner);
}

/* Ends those that were new, of the first `count`: nobody has heard of them yet. */
static void roll_back(struct publish *publish, const struct publish_spec *specs, unsigned count,
		      const uint8_t *is_new)
{
	for (unsigned i = 0; i < count; i++) {
		if (is_new[i])
			forward_end(find(publish, specs[i].local_text, specs[i].protocol));
	}
}

int publish_add(struct publish *publish, struct publish_spec *specs, unsigned count, unsigned flags,
		struct publish_failure *ret_failure)
{
	struct publish_failure failure = {0};
	uint8_t is_new[PUBLISH_RANGE_MAX];
	int r = count ? check_limits(publish, &specs[0].owner, count) : 0;

	for (unsigned i = 0; r == 0 && i < count; i++) {
		failure.index = i;
		r = add_one(publish, &specs[i], flags, &failure);
		is_new[i] = r == 0;
		if (r < 0)
			roll_back(publish, specs, i, is_new);
		else
			r = 0;
	}
	if (r < 0) {
		if (ret_failure)
			*ret_failure = failure;
		return r;
	}
	for (unsigned i = 0; i < count; i++) {
		struct forward *forward = find(publish, specs[i].local_text, specs[i].protocol);

		if (!is_new[i])
			continue;
		log_change(forward, true);
		tell(publish, forward, true);
	}
	return 0;
}

/* ---- Removing ---- */

static void unpublish(struct publish *publish, struct forward *forward)
{
	log_change(forward, false);
	tell(publish, forward, false);
	forward_end(forward);
}

static bool may_end(const struct publish_owner *by, const struct publish_spec *spec)
{
	return by->kind != PUBLISH_OWNER_GUEST ||
	       (spec->owner.kind == PUBLISH_OWNER_GUEST && spec->owner.id == by->id);
}

int publish_remove(struct publish *publish, const char *local_text, enum publish_protocol protocol,
		   const struct publish_owner *by)
{
	struct forward *forward = find(publish, local_text, protocol);

	if (!forward)
		return -ENOENT;
	if (!may_end(by, &forward->spec) ||
	    (by->text[0] && strcmp(by->text, forward->spec.owner.text) != 0))
		return -EPERM;
	unpublish(publish, forward);
	return 0;
}

typedef bool match_fn(const struct publish_spec *spec, const void *what,
		      const struct publish_owner *by);

static unsigned remove_matching(struct publish *publish, match_fn *fn, const void *what,
				const struct publish_owner *by)
{
	struct hmap_node *node = hmap_next(&publish->forwards, NULL);
	unsigned count = 0;

	while (node) {
		struct forward *forward = container_of(node, struct forward, node);

		node = hmap_next(&publish->forwards, node);
		if (!fn(&forward->spec, what, by))
			continue;
		unpublish(publish, forward);
		count++;
	}
	return count;
}

static bool has_owner(const struct publish_spec *spec, const void *what,
		      const struct publish_owner *by)
{
	(void)what;
	return publish_owner_matches(&spec->owner, by);
}

static bool is_of_guest_at(const struct publish_spec *spec, const void *what,
			   const struct publish_owner *by)
{
	(void)by;
	return spec->owner.kind == PUBLISH_OWNER_GUEST &&
	       (addr_equal(&spec->remote.addr, what) || addr_equal(&spec->via, what));
}

static bool has_name(const struct publish_spec *spec, const void *what,
		     const struct publish_owner *by)
{
	return strcmp(spec->name, what) == 0 && may_end(by, spec);
}

unsigned publish_remove_owner(struct publish *publish, const struct publish_owner *owner)
{
	return remove_matching(publish, has_owner, NULL, owner);
}

unsigned publish_remove_guest_address(struct publish *publish, const struct addr *addr)
{
	return remove_matching(publish, is_of_guest_at, addr, NULL);
}

unsigned publish_remove_name(struct publish *publish, const char *name,
			     const struct publish_owner *by)
{
	return name[0] ? remove_matching(publish, has_name, name, by) : 0;
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
		struct publish_info info = info_of(sorted[i]);

		fn(arg, &info);
	}
	free(sorted);
}

int publish_find(struct publish *publish, const char *local_text, enum publish_protocol protocol,
		 struct publish_info *ret_info)
{
	const struct forward *forward = find(publish, local_text, protocol);

	if (!forward)
		return -ENOENT;
	*ret_info = info_of(forward);
	return 0;
}

size_t publish_count(const struct publish *publish)
{
	return publish->forwards.count;
}

/* ---- Life ---- */

void publish_set_resolver(struct publish *publish, publish_resolve_fn *fn, void *arg)
{
	publish->resolve = fn;
	publish->resolve_arg = arg;
}

int publish_set_guest_rules(struct publish *publish, const struct publish_rule *rules,
			    unsigned count)
{
	struct publish_rule *copy = calloc(count + 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		copy[i] = rules[i];
	free(publish->guest_rules);
	publish->guest_rules = copy;
	publish->guest_rule_count = count;
	return 0;
}

/* What a guest published of an address that it has no more, must not lead to the next who gets it.
 */
static void on_address_gone(void *arg, const struct addr *addr)
{
	publish_remove_guest_address(arg, addr);
}

static size_t guest_forwards_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return PUBLISH_FORWARDS_MAX;
	return limit.rlim_cur / PUBLISH_GUESTS_FD_SHARE;
}

int publish_new(struct loop *loop, struct forwarder *forwarder, struct publish **ret_publish)
{
	struct publish *publish = calloc(1, sizeof(*publish));
	int r;

	if (!publish)
		return -ENOMEM;
	publish->loop = loop;
	publish->forwarder = forwarder;
	publish->guest_forwards_max = guest_forwards_max();
	publish->key = hash_key_random();
	hmap_init(&publish->forwards);
	list_init(&publish->watchers);
	r = publish_udp_new(loop, forwarder, &publish->udp);
	if (r < 0) {
		free(publish);
		return r;
	}
	forwarder_on_address_gone(forwarder, on_address_gone, publish);
	*ret_publish = publish;
	return 0;
}

void publish_free(struct publish *publish)
{
	struct hmap_node *node;

	if (!publish)
		return;
	forwarder_on_address_gone(publish->forwarder, NULL, NULL);
	while ((node = hmap_next(&publish->forwards, NULL)))
		forward_end(container_of(node, struct forward, node));
	publish_udp_free(publish->udp);
	hmap_destroy(&publish->forwards);
	free(publish->guest_rules);
	free(publish);
}
