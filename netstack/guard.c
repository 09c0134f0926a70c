/* SPDX-License-Identifier: Apache-2.0 */
/* The guard's bindings, and what they say of a frame: see guard.h. The frame is read by
 * guard_frame.c. */
#include "netstack/guard.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "base/list.h"
#include "netstack/guard_frame.h"

#define RESERVED_MAX (sizeof(((struct guard_conf *)NULL)->reserved) / sizeof(struct addr))

enum key_kind { KEY_MAC, KEY_IP4, KEY_IP6, KEY_KINDS };

/* A MAC or an address, the unused bytes zero. */
struct key {
	uint8_t kind;
	uint8_t bytes[16];
};

struct binding {
	struct hmap_node node;
	struct list in_port; /* of its port's, the one used longest ago first */
	struct key key;
	unsigned port;  /* 0: a lease whose guest isn't there */
	struct mac mac; /* who was leased it */
	bool is_leased;
	bool is_in_use; /* its port has spoken as this, not only asked for it */
	uint64_t used_ms;
};

struct guard_port {
	struct list bindings;
	unsigned count;
	/* The one of each kind that was used last: mostly the next frame's, too. */
	struct binding *last[KEY_KINDS];
};

struct guard {
	struct guard_conf conf;
	struct addr link_local; /* the gateway's */
	struct hmap map;
	struct hash_key hash_key;
	struct guard_port *ports; /* by number; 0: the leases that wait */
};

/* ---- Bindings ---- */

static struct key key_of_mac(const struct mac *mac)
{
	struct key key = {.kind = KEY_MAC};

	memcpy(key.bytes, mac->bytes, MAC_SIZE);
	return key;
}

static struct key key_of_addr(const struct addr *addr)
{
	struct key key = {.kind = addr->family == AF_INET ? KEY_IP4 : KEY_IP6};

	if (addr->family == AF_INET)
		memcpy(key.bytes, &addr->v4, sizeof(addr->v4));
	else
		memcpy(key.bytes, &addr->v6, sizeof(addr->v6));
	return key;
}

static bool key_equal(const struct key *a, const struct key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static uint64_t hash_of(const struct guard *guard, const struct key *key)
{
	return hash_bytes(&guard->hash_key, key, sizeof(*key));
}

static struct binding *find(const struct guard *guard, const struct key *key)
{
	struct hmap_node *node = hmap_find(&guard->map, hash_of(guard, key));

	for (; node; node = hmap_find_next(node)) {
		struct binding *binding = container_of(node, struct binding, node);

		if (key_equal(&binding->key, key))
			return binding;
	}
	return NULL;
}

/* The port's binding of that kind that was used last, if it is this one: mostly it is. */
static struct binding *last_used(const struct guard *guard, unsigned port, const struct key *key)
{
	struct binding *last = guard->ports[port].last[key->kind];

	return last && key_equal(&last->key, key) ? last : NULL;
}

static void leave_port(struct guard *guard, struct binding *binding)
{
	struct guard_port *port = &guard->ports[binding->port];

	if (port->last[binding->key.kind] == binding)
		port->last[binding->key.kind] = NULL;
	list_remove(&binding->in_port);
	port->count--;
}

static void binding_free(struct guard *guard, struct binding *binding)
{
	leave_port(guard, binding);
	hmap_remove(&guard->map, &binding->node);
	free(binding);
}

/* Of those that nobody leased, where there are such, the one used longest ago. */
static void make_room(struct guard *guard, unsigned number)
{
	struct guard_port *port = &guard->ports[number];
	unsigned max = number ? GUARD_BINDINGS_MAX : GUARD_WAITING_MAX;
	struct binding *oldest;

	if (port->count < max)
		return;
	oldest = container_of(list_first(&port->bindings), struct binding, in_port);
	list_for_each (node, &port->bindings) {
		struct binding *binding = container_of(node, struct binding, in_port);

		if (!binding->is_leased) {
			oldest = binding;
			break;
		}
	}
	binding_free(guard, oldest);
}

static void enter_port(struct guard *guard, struct binding *binding, unsigned number,
		       uint64_t now_ms)
{
	struct guard_port *port = &guard->ports[number];

	make_room(guard, number);
	binding->port = number;
	binding->used_ms = now_ms;
	list_add_tail(&port->bindings, &binding->in_port);
	port->count++;
}

static void move(struct guard *guard, struct binding *binding, unsigned port, uint64_t now_ms)
{
	leave_port(guard, binding);
	binding->is_in_use = false;
	enter_port(guard, binding, port, now_ms);
}

static struct binding *binding_new(struct guard *guard, const struct key *key, unsigned port,
				   uint64_t now_ms)
{
	struct binding *binding = calloc(1, sizeof(*binding));

	if (!binding)
		return NULL;
	binding->key = *key;
	if (hmap_insert(&guard->map, &binding->node, hash_of(guard, key)) < 0) {
		free(binding);
		return NULL;
	}
	enter_port(guard, binding, port, now_ms);
	return binding;
}

static void use(struct guard *guard, struct binding *binding, uint64_t now_ms)
{
	struct guard_port *port = &guard->ports[binding->port];

	port->last[binding->key.kind] = binding;
	if (binding->used_ms == now_ms)
		return;
	binding->used_ms = now_ms;
	list_remove(&binding->in_port);
	list_add_tail(&port->bindings, &binding->in_port);
}

/* Whether a lease of that port's is for this MAC. */
static bool has_lease(const struct guard *guard, unsigned port, const struct key *mac)
{
	list_for_each (node, &guard->ports[port].bindings) {
		const struct binding *binding = container_of(node, struct binding, in_port);

		if (binding->is_leased && memcmp(binding->mac.bytes, mac->bytes, MAC_SIZE) == 0)
			return true;
	}
	return false;
}

/* Whether somebody else may have what is bound to another port. */
static bool is_free(const struct guard *guard, const struct binding *binding, const struct mac *mac,
		    uint64_t now_ms)
{
	if (binding->is_leased)
		return binding->port == 0 && mac_equal(&binding->mac, mac);
	if (now_ms - binding->used_ms < GUARD_IDLE_MS)
		return false;
	return binding->key.kind != KEY_MAC || !has_lease(guard, binding->port, &binding->key);
}

/* ---- Deciding ---- */

static bool is_asking(const struct binding *binding, uint64_t now_ms)
{
	return !binding->is_in_use && now_ms - binding->used_ms < GUARD_ASKING_MS;
}

/*
 * Whether `port` may use the key, as `mac`; or, where that is `tentative`, may ask whether somebody
 * does. Notes it. A question about another's address is for that one to answer, unless it has just
 * asked itself: it would take the second question for an answer (RFC 4862, 5.4.3; RFC 5227, 2.1.1),
 * and go without.
 */
static bool claim_key(struct guard *guard, unsigned port, const struct key *key,
		      const struct mac *mac, bool tentative, uint64_t now_ms,
		      struct guard_report *report)
{
	struct binding *binding = last_used(guard, port, key);

	if (!binding)
		binding = find(guard, key);
	if (!binding) {
		binding = binding_new(guard, key, port, now_ms);
		/* Without memory to remember it: as if it had been forgotten. */
		if (!binding)
			return true;
	} else if (binding->port != port) {
		if (!is_free(guard, binding, mac, now_ms)) {
			report->owner = binding->port;
			return tentative && !is_asking(binding, now_ms);
		}
		move(guard, binding, port, now_ms);
	}
	if (!tentative)
		binding->is_in_use = true;
	use(guard, binding, now_ms);
	return true;
}

static bool is_guarded(const struct guard *guard, const struct addr *addr)
{
	if (addr->family == AF_INET)
		return prefix_contains(&guard->conf.subnet, addr);
	return IN6_IS_ADDR_LINKLOCAL(&addr->v6) ||
	       (guard->conf.prefix6.length && prefix_contains(&guard->conf.prefix6, addr));
}

/* The gateway's and the host alias', and those that can be nobody's. */
static bool is_nobodys(const struct guard *guard, const struct addr *addr)
{
	const struct prefix *subnet = &guard->conf.subnet;

	for (size_t i = 0; i < RESERVED_MAX; i++) {
		if (addr_equal(addr, &guard->conf.reserved[i]))
			return true;
	}
	if (addr_is_multicast(addr) || addr_is_loopback(addr))
		return true;
	if (addr->family == AF_INET6)
		return addr_equal(addr, &guard->link_local);
	return addr_v4(addr) == INADDR_BROADCAST || addr_equal(addr, &subnet->addr) ||
	       (prefix_contains(subnet, addr) &&
		(addr_v4(addr) | prefix_mask4(subnet)) == INADDR_BROADCAST);
}

static bool claim_addr(struct guard *guard, unsigned port, const struct guard_claim *claim,
		       const struct mac *mac, uint64_t now_ms, struct guard_report *report)
{
	struct key key = key_of_addr(&claim->addr);

	/* What is bound has been asked the rest already. */
	if (!last_used(guard, port, &key)) {
		if (is_nobodys(guard, &claim->addr))
			return claim->is_tentative;
		if (!is_guarded(guard, &claim->addr))
			return true;
	}
	return claim_key(guard, port, &key, mac, claim->is_tentative, now_ms, report);
}

enum guard_verdict guard_check(struct guard *guard, unsigned port, const struct frame *frame,
			       uint64_t now_ms, struct guard_report *ret_report)
{
	struct guard_report report = {0};
	struct guard_facts facts;
	struct key key;

	assert(port >= 1 && port <= guard->conf.ports_max);
	guard_read_frame(frame, &facts);
	if (facts.verdict == GUARD_PASS) {
		key = key_of_mac(&facts.src);
		if (mac_is_group(&facts.src) || mac_equal(&facts.src, &guard->conf.mac) ||
		    !claim_key(guard, port, &key, &facts.src, false, now_ms, &report))
			facts.verdict = GUARD_MAC;
	}
	for (unsigned i = 0; facts.verdict == GUARD_PASS && i < facts.claim_count; i++) {
		const struct guard_claim *claim = &facts.claims[i];

		if (claim_addr(guard, port, claim, &facts.src, now_ms, &report))
			continue;
		facts.verdict = claim->otherwise;
		report.addr = claim->addr;
	}
	if (facts.verdict != GUARD_PASS)
		*ret_report = report;
	return facts.verdict;
}

/* ---- What others know ---- */

/* Whether a lease may take from its port what is bound there: not from a guest that is there and
 * has a lease on it, whatever the server believes (a client identifier can be forged). */
static bool may_lease(const struct binding *binding, unsigned port)
{
	return !binding->is_leased || binding->port == 0 || binding->port == port;
}

int guard_lease(struct guard *guard, const struct addr *addr, const struct mac *mac, unsigned port,
		uint64_t now_ms)
{
	struct key key = key_of_addr(addr), mac_key = key_of_mac(mac);
	struct binding *binding;

	assert(port <= guard->conf.ports_max);
	if (is_nobodys(guard, addr) || !is_guarded(guard, addr))
		return 0;
	if (!port) {
		binding = find(guard, &mac_key);
		port = binding ? binding->port : 0;
	}
	binding = find(guard, &key);
	if (binding && !may_lease(binding, port))
		return -EADDRINUSE;
	if (!binding)
		binding = binding_new(guard, &key, port, now_ms);
	else if (binding->port != port)
		move(guard, binding, port, now_ms);
	if (!binding)
		return -ENOMEM;
	binding->is_leased = true;
	binding->mac = *mac;
	return 0;
}

void guard_unlease(struct guard *guard, const struct addr *addr)
{
	struct key key = key_of_addr(addr);
	struct binding *binding = find(guard, &key);

	if (binding && binding->is_leased)
		binding_free(guard, binding);
}

void guard_port_gone(struct guard *guard, unsigned port)
{
	list_for_each_safe (node, &guard->ports[port].bindings) {
		struct binding *binding = container_of(node, struct binding, in_port);

		if (binding->is_leased)
			move(guard, binding, 0, binding->used_ms);
		else
			binding_free(guard, binding);
	}
}

unsigned guard_count(const struct guard *guard, unsigned port)
{
	return guard->ports[port].count;
}

unsigned guard_owner(const struct guard *guard, const struct addr *addr)
{
	struct key key = key_of_addr(addr);
	const struct binding *binding = find(guard, &key);

	return binding ? binding->port : 0;
}

const char *guard_verdict_text(enum guard_verdict verdict)
{
	static const char *const texts[GUARD_VERDICTS] = {
		[GUARD_PASS] = "",
		[GUARD_MAC] = "another's MAC",
		[GUARD_IP] = "another's IP address",
		[GUARD_ARP] = "ARP for another's address",
		[GUARD_ND] = "neighbour discovery for another's address",
		[GUARD_RA] = "a router advertisement or redirect",
		[GUARD_DHCP] = "a DHCP reply",
		[GUARD_MALFORMED] = "headers that can't be read",
	};

	return texts[verdict];
}

/* ---- Life ---- */

int guard_new(const struct guard_conf *conf, struct guard **ret_guard)
{
	struct guard *guard = calloc(1, sizeof(*guard));

	if (!guard)
		return -ENOMEM;
	guard->conf = *conf;
	guard->link_local = addr_link_local(&conf->mac);
	guard->hash_key = hash_key_random();
	hmap_init(&guard->map);
	guard->ports = calloc((size_t)conf->ports_max + 1, sizeof(*guard->ports));
	if (!guard->ports) {
		guard_free(guard);
		return -ENOMEM;
	}
	for (unsigned i = 0; i <= conf->ports_max; i++)
		list_init(&guard->ports[i].bindings);
	*ret_guard = guard;
	return 0;
}

void guard_free(struct guard *guard)
{
	if (!guard)
		return;
	for (unsigned i = 0; guard->ports && i <= guard->conf.ports_max; i++) {
		while (!list_empty(&guard->ports[i].bindings))
			binding_free(guard, container_of(list_first(&guard->ports[i].bindings),
							 struct binding, in_port));
	}
	hmap_destroy(&guard->map);
	free(guard->ports);
	free(guard);
}
