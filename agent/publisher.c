/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be published and taken back; see publisher.h. */
#include "agent/publisher.h"

static bool is_same(const struct agent_wanted *a, const struct agent_wanted *b)
{
	return a->udp == b->udp && a->port == b->port && a->relay == b->relay &&
	       a->remote.family == b->remote.family &&
	       (a->remote.family == AF_UNSPEC || addr_equal(&a->remote, &b->remote));
}

static const struct agent_wanted *find(const struct agent_wanted *wanted, size_t count,
				       const struct agent_wanted *one)
{
	for (size_t i = 0; i < count; i++) {
		if (is_same(&wanted[i], one))
			return &wanted[i];
	}
	return NULL;
}

static void forget(struct publisher *publisher, size_t index)
{
	publisher->ports[index] = publisher->ports[--publisher->count];
}

static bool is_known(const struct publisher *publisher, const struct agent_wanted *wanted)
{
	for (size_t i = 0; i < publisher->count; i++) {
		if (is_same(&publisher->ports[i].wanted, wanted))
			return true;
	}
	return false;
}

void publisher_want(struct publisher *publisher, const struct agent_wanted *wanted, size_t count)
{
	for (size_t i = publisher->count; i-- > 0;) {
		struct publisher_port *port = &publisher->ports[i];

		if (find(wanted, count, &port->wanted)) {
			if (port->state == PUBLISHER_LEAVING)
				port->state = PUBLISHER_UP;
		} else if (port->state == PUBLISHER_NEW) {
			forget(publisher, i);
		} else {
			port->state = PUBLISHER_LEAVING;
		}
	}
	/* Where those that leave still take the room, the next call finds it. */
	for (size_t i = 0; i < count && publisher->count < AGENT_WANTED_MAX; i++) {
		if (!is_known(publisher, &wanted[i]))
			publisher->ports[publisher->count++] = (struct publisher_port){
				.wanted = wanted[i]};
	}
}

struct publisher_port *publisher_next(struct publisher *publisher, uint64_t now_ms)
{
	for (size_t i = 0; i < publisher->count; i++) {
		if (publisher->ports[i].state == PUBLISHER_LEAVING)
			return &publisher->ports[i];
	}
	for (size_t i = 0; i < publisher->count; i++) {
		struct publisher_port *port = &publisher->ports[i];

		if (port->state == PUBLISHER_NEW && port->retry_ms <= now_ms)
			return port;
	}
	return NULL;
}

bool publisher_done(struct publisher *publisher, struct publisher_port *port,
		    enum publisher_outcome outcome, uint64_t now_ms)
{
	bool say = !port->complained;

	if (port->state == PUBLISHER_LEAVING) {
		forget(publisher, (size_t)(port - publisher->ports));
		return true;
	}
	port->complained = outcome != PUBLISHER_OK;
	if (outcome == PUBLISHER_OK) {
		port->state = PUBLISHER_UP;
		return true;
	}
	port->retry_ms = now_ms +
			 (outcome == PUBLISHER_TAKEN ? PUBLISHER_RETRY_MS : PUBLISHER_REFUSED_MS);
	return say;
}

void publisher_lost(struct publisher *publisher)
{
	for (size_t i = publisher->count; i-- > 0;) {
		struct publisher_port *port = &publisher->ports[i];

		if (port->state == PUBLISHER_LEAVING)
			forget(publisher, i);
		else if (port->state == PUBLISHER_UP)
			port->state = PUBLISHER_NEW;
		/* Whoever was in the way may not be there any more. */
		if (i < publisher->count)
			publisher->ports[i].retry_ms = 0;
	}
}

bool publisher_has(const struct publisher *publisher, uint16_t port)
{
	for (size_t i = 0; i < publisher->count; i++) {
		if (publisher->ports[i].wanted.port == port &&
		    publisher->ports[i].state != PUBLISHER_NEW)
			return true;
	}
	return false;
}

size_t publisher_up(const struct publisher *publisher)
{
	size_t count = 0;

	for (size_t i = 0; i < publisher->count; i++)
		count += publisher->ports[i].state != PUBLISHER_NEW;
	return count;
}
