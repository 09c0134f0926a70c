/* SPDX-License-Identifier: Apache-2.0 */
/* Flows by guest endpoint, by age and by guest; see flow_table.h. */
#include "forwarder/flow_table.h"

#include <string.h>

static uint64_t endpoint_hash(const struct flow_table *table, const struct endpoint *guest)
{
	struct {
		uint8_t ip[16];
		uint32_t family;
		uint32_t port;
	} key = {.family = guest->addr.family, .port = guest->port};

	if (guest->addr.family == AF_INET6)
		memcpy(key.ip, &guest->addr.v6, sizeof(guest->addr.v6));
	else
		memcpy(key.ip, &guest->addr.v4, sizeof(guest->addr.v4));
	return hash_bytes(&table->key, &key, sizeof(key));
}

struct flow *flow_table_find(const struct flow_table *table, const struct endpoint *guest)
{
	struct hmap_node *node = hmap_find(&table->flows, endpoint_hash(table, guest));

	for (; node; node = hmap_find_next(node)) {
		struct flow *flow = container_of(node, struct flow, node);

		if (endpoint_equal(&flow->guest, guest))
			return flow;
	}
	return NULL;
}

/* ---- Time ---- */

/* A timer that runs early looks again; one that is late would keep flows too long. */
static void arm_timer(struct flow_table *table, uint64_t now_ms, uint64_t at_ms)
{
	if (loop_timer_pending(table->timer) && table->timer_at_ms <= at_ms)
		return;
	table->timer_at_ms = at_ms;
	loop_timer_set(table->timer, at_ms > now_ms ? at_ms - now_ms : 0);
}

static void on_timer(void *arg)
{
	struct flow_table *table = arg;
	uint64_t now = loop_now_ms(table->conf.loop);
	uint64_t next = UINT64_MAX;

	for (unsigned age = 0; age < table->conf.ages; age++) {
		while (!list_empty(&table->ages[age])) {
			struct flow *flow = container_of(list_first(&table->ages[age]), struct flow,
							 age_link);
			uint64_t end = flow->active_ms + table->conf.age_ms[age];

			if (end > now) {
				next = end < next ? end : next;
				break;
			}
			table->conf.end(flow);
		}
	}
	if (next != UINT64_MAX)
		arm_timer(table, now, next);
}

/* ---- Guests ---- */

static void guest_add(struct flow_table *table, struct flow *flow, unsigned port)
{
	struct flow_guest *guest = &table->guests[port];

	flow->port = port;
	list_add_tail(&guest->flows, &flow->guest_link);
	if (guest->count++ == 0)
		list_add_tail(&table->guests_used, &guest->link);
}

static void guest_remove(struct flow_table *table, struct flow *flow)
{
	struct flow_guest *guest = &table->guests[flow->port];

	list_remove(&flow->guest_link);
	if (--guest->count == 0)
		list_remove(&guest->link);
}

bool flow_table_evict(struct flow_table *table, unsigned port)
{
	struct list *oldest = list_first(&table->guests[port].flows);

	if (!oldest)
		return false;
	table->evicted++;
	table->conf.end(container_of(oldest, struct flow, guest_link));
	return true;
}

/* The port of the guest with the most flows; `port` where it is one of those. */
static unsigned largest_guest(const struct flow_table *table, unsigned port)
{
	unsigned largest = port;

	list_for_each (node, &table->guests_used) {
		const struct flow_guest *guest = container_of(node, struct flow_guest, link);

		if (guest->count > table->guests[largest].count)
			largest = (unsigned)(guest - table->guests);
	}
	return largest;
}

bool flow_table_make_room(struct flow_table *table, unsigned port)
{
	if (table->guests[port].count >= table->conf.guest_max)
		return flow_table_evict(table, port);
	if (table->flows.count >= table->conf.total_max)
		return flow_table_evict(table, largest_guest(table, port));
	return false;
}

void flow_table_port_gone(struct flow_table *table, unsigned port)
{
	list_for_each_safe (node, &table->guests[port].flows)
		table->conf.end(container_of(node, struct flow, guest_link));
}

/* ---- Flows ---- */

static void set_active(struct flow_table *table, struct flow *flow, unsigned age)
{
	flow->active_ms = loop_now_ms(table->conf.loop);
	flow->age = age;
	list_add_tail(&table->ages[age], &flow->age_link);
	arm_timer(table, flow->active_ms, flow->active_ms + table->conf.age_ms[age]);
}

int flow_table_add(struct flow_table *table, struct flow *flow, const struct endpoint *guest,
		   unsigned port, unsigned age)
{
	int r;

	flow->guest = *guest;
	r = hmap_insert(&table->flows, &flow->node, endpoint_hash(table, guest));
	if (r < 0)
		return r;
	guest_add(table, flow, port);
	set_active(table, flow, age);
	table->total++;
	return 0;
}

void flow_table_remove(struct flow_table *table, struct flow *flow)
{
	list_remove(&flow->age_link);
	guest_remove(table, flow);
	hmap_remove(&table->flows, &flow->node);
}

void flow_table_active(struct flow_table *table, struct flow *flow, unsigned port, unsigned age)
{
	/* One round of the loop is one moment: the second datagram of a burst changes nothing. */
	if (flow->active_ms == loop_now_ms(table->conf.loop) && flow->age == age &&
	    flow->port == port)
		return;
	list_remove(&flow->age_link);
	guest_remove(table, flow);
	guest_add(table, flow, port);
	set_active(table, flow, age);
}

/* ---- Life ---- */

int flow_table_init(struct flow_table *table, const struct flow_table_conf *conf)
{
	int r;

	*table = (struct flow_table){.conf = *conf};
	r = loop_timer_new(conf->loop, on_timer, table, &table->timer);
	if (r < 0)
		return r;
	table->key = hash_key_random();
	hmap_init(&table->flows);
	list_init(&table->guests_used);
	for (unsigned age = 0; age < FLOW_AGES_MAX; age++)
		list_init(&table->ages[age]);
	for (unsigned port = 0; port <= SWITCH_PORTS_MAX; port++) {
		list_init(&table->guests[port].link);
		list_init(&table->guests[port].flows);
	}
	return 0;
}

void flow_table_destroy(struct flow_table *table)
{
	if (!table->timer)
		return;
	for (unsigned port = 0; port <= SWITCH_PORTS_MAX; port++)
		flow_table_port_gone(table, port);
	loop_timer_free(table->timer);
	hmap_destroy(&table->flows);
	table->timer = NULL;
}
