/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ports that are published, and what is to be done so that they are those that are wanted. It
 * decides, and others do: publisher_next() says what is next, and publisher_done() hears what came
 * of it. Pure; a table of AGENT_WANTED_MAX, without memory of its own.
 *
 *	NEW      to be published, at once or again at retry_ms
 *	UP       published
 *	LEAVING  published, and not wanted any more
 */
#ifndef AGENT_PUBLISHER_H
#define AGENT_PUBLISHER_H

#include "agent/agent_policy.h"

#define PUBLISHER_RETRY_MS   3000  /* the host's port is taken */
#define PUBLISHER_REFUSED_MS 60000 /* it isn't allowed, or makes no sense there */

enum publisher_state { PUBLISHER_NEW, PUBLISHER_UP, PUBLISHER_LEAVING };

struct publisher_port {
	struct agent_wanted wanted;
	enum publisher_state state;
	bool complained; /* it has been said that it can't be published */
	uint64_t retry_ms;
};

struct publisher {
	size_t count;
	struct publisher_port ports[AGENT_WANTED_MAX];
};

/* What came of an attempt. */
enum publisher_outcome {
	PUBLISHER_OK,
	PUBLISHER_TAKEN,   /* tried again after PUBLISHER_RETRY_MS */
	PUBLISHER_REFUSED, /* after PUBLISHER_REFUSED_MS */
};

/* Takes over what is wanted now. */
void publisher_want(struct publisher *publisher, const struct agent_wanted *wanted, size_t count);
/* What is to be done: a port to take back (LEAVING), else one to publish (NEW), else NULL. It is
 * valid until the next call but this. */
struct publisher_port *publisher_next(struct publisher *publisher, uint64_t now_ms);
/* What came of it. Returns whether that is to be said: a first failure, or a success. */
bool publisher_done(struct publisher *publisher, struct publisher_port *port,
		    enum publisher_outcome outcome, uint64_t now_ms);
/* The connection that held the forwards has ended: none is published. */
void publisher_lost(struct publisher *publisher);
/* Whether a port of that number is published. */
bool publisher_has(const struct publisher *publisher, uint16_t port);
/* How many are published. */
size_t publisher_up(const struct publisher *publisher);

#endif
