/* SPDX-License-Identifier: Apache-2.0 */
/* What the server has to say to everybody: option values made once, from the configuration, and put
 * into each reply in the order in which its client asks for them. */
#ifndef DHCP_DHCP_OPTIONS_H
#define DHCP_DHCP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dhcp/dhcp_server.h"
#include "dhcp/dhcp_wire.h"

struct dhcp_value {
	uint8_t *data; /* owned; NULL: no such option */
	size_t size;
	bool always; /* also to clients that list what they want, and not this */
};

struct dhcp_options {
	struct dhcp_value values[256];
};

/* Zero it, or copy another one, before. Copies the data, in place of what was there. Returns 0 or
 * -ENOMEM. */
int dhcp_options_set(struct dhcp_options *options, uint8_t code, const void *data, size_t size,
		     bool always);
void dhcp_options_clear(struct dhcp_options *options);

/* Domains to search, in DNS wire form; size 0: none. Returns 0 or -ENOMEM. */
int dhcp_options_set_search(struct dhcp_options *options, const uint8_t *search, size_t size);

/* Fills in all that a checked configuration says. Returns 0 or -ENOMEM. */
int dhcp_options_from_conf(struct dhcp_options *options, const struct dhcp_conf *conf);

/* What a reply has and needs while options are put into it. */
struct dhcp_option_writer {
	struct wire_writer *w;
	size_t reserve;    /* room to keep for what comes last */
	bool written[256]; /* or not to be written */
};

/* Writes an option of the reply's own, once, if it fits. */
void dhcp_options_put(struct dhcp_option_writer *to, uint8_t code, const void *data, size_t size);
void dhcp_options_put_u32(struct dhcp_option_writer *to, uint8_t code, uint32_t value);

/* Writes an option that not all replies have alike, if there is one for the code. */
typedef void dhcp_option_fn(void *arg, struct dhcp_option_writer *to, uint8_t code);

/* Writes what the client asks for in `wanted` (the value of option 55), in its order, each by `own`
 * or else from `options`; then those that everybody gets. Without a list the client gets all. What
 * doesn't fit is left out. */
void dhcp_options_put_wanted(struct dhcp_option_writer *to, const struct dhcp_options *options,
			     const uint8_t *wanted, size_t wanted_count, dhcp_option_fn *own,
			     void *arg);

#endif
