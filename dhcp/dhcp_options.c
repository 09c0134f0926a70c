/* SPDX-License-Identifier: Apache-2.0 */
/* Option values from the configuration, and their way into replies: see dhcp_options.h. */
#include "dhcp/dhcp_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ETHERNET_MTU 1500

int dhcp_options_set(struct dhcp_options *options, uint8_t code, const void *data, size_t size,
		     bool always)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		return -ENOMEM;
	if (size)
		memcpy(copy, data, size);
	free(options->values[code].data);
	options->values[code] = (struct dhcp_value){.data = copy, .size = size, .always = always};
	return 0;
}

void dhcp_options_clear(struct dhcp_options *options)
{
	for (size_t i = 0; i < 256; i++)
		free(options->values[i].data);
	*options = (struct dhcp_options){0};
}

static int set_u32(struct dhcp_options *options, uint8_t code, uint32_t value, bool always)
{
	uint8_t bytes[4];
	struct wire_writer w = wire_writer(bytes, sizeof(bytes));

	wire_put_be32(&w, value);
	return dhcp_options_set(options, code, bytes, sizeof(bytes), always);
}

static int set_addresses(struct dhcp_options *options, uint8_t code, const struct addr *addresses,
			 size_t count)
{
	uint8_t bytes[4 * DHCP_ADDRESSES_MAX];
	struct wire_writer w = wire_writer(bytes, sizeof(bytes));

	for (size_t i = 0; i < count; i++)
		wire_put_be32(&w, addr_v4(&addresses[i]));
	return count ? dhcp_options_set(options, code, bytes, wire_written(&w), false) : 0;
}

static void remove_option(struct dhcp_options *options, uint8_t code)
{
	free(options->values[code].data);
	options->values[code] = (struct dhcp_value){0};
}

/* RFC 3397, without the compression that it allows: every client can read it. */
int dhcp_options_set_search(struct dhcp_options *options, const uint8_t *search, size_t size)
{
	if (size)
		return dhcp_options_set(options, DHCP_OPT_SEARCH, search, size, false);
	remove_option(options, DHCP_OPT_SEARCH);
	return 0;
}

static void put_route(struct wire_writer *w, const struct prefix *to, const struct addr *via)
{
	uint32_t address = addr_v4(&to->addr);

	wire_put_u8(w, to->length);
	for (int i = 0; i < (to->length + 7) / 8; i++)
		wire_put_u8(w, (uint8_t)(address >> (24 - 8 * i)));
	wire_put_be32(w, addr_v4(via));
}

/* RFC 3442. A client that reads this one ignores option 3, so the default route is in it too,
 * unless option 3 has been taken away or a route says otherwise. */
static int set_routes(struct dhcp_options *options, const struct dhcp_conf *conf)
{
	uint8_t bytes[9 * (DHCP_ROUTES_MAX + 1)];
	struct wire_writer w = wire_writer(bytes, sizeof(bytes));
	const struct dhcp_value *routers = &options->values[DHCP_OPT_ROUTERS];
	bool needs_default = routers->size >= 4;

	if (conf->route_count == 0)
		return 0;
	for (size_t i = 0; i < conf->route_count; i++) {
		put_route(&w, &conf->routes[i].to, &conf->routes[i].via);
		needs_default = needs_default && conf->routes[i].to.length > 0;
	}
	if (needs_default) {
		wire_put_u8(&w, 0);
		wire_put_bytes(&w, routers->data, 4);
	}
	return dhcp_options_set(options, DHCP_OPT_ROUTES, bytes, wire_written(&w), false);
}

static int set_link(struct dhcp_options *options, const struct dhcp_conf *conf)
{
	uint32_t mask = prefix_mask4(&conf->subnet);
	uint8_t mtu[] = {conf->mtu >> 8, conf->mtu & 0xff};
	int r = set_u32(options, DHCP_OPT_NETMASK, mask, true);

	if (r == 0)
		r = set_u32(options, DHCP_OPT_ROUTERS,
			    addr_v4(conf->router.family ? &conf->router : &conf->gateway), false);
	if (r == 0)
		r = set_u32(options, DHCP_OPT_BROADCAST, addr_v4(&conf->subnet.addr) | ~mask,
			    false);
	/* A client that doesn't ask for the MTU would otherwise use Ethernet's. */
	if (r == 0 && conf->mtu)
		r = dhcp_options_set(options, DHCP_OPT_MTU, mtu, sizeof(mtu),
				     conf->mtu != ETHERNET_MTU);
	return r;
}

static int set_names(struct dhcp_options *options, const struct dhcp_conf *conf)
{
	int r = conf->dns_count ? set_addresses(options, DHCP_OPT_DNS, conf->dns, conf->dns_count)
				: set_addresses(options, DHCP_OPT_DNS, &conf->gateway, 1);

	if (r == 0 && conf->domain)
		r = dhcp_options_set(options, DHCP_OPT_DOMAIN, conf->domain, strlen(conf->domain),
				     false);
	if (r == 0)
		r = dhcp_options_set_search(options, conf->search, conf->search_size);
	return r;
}

/* What the header says too (RFC 2132, 9.4 and 9.5), for clients that read only options. */
static int set_boot(struct dhcp_options *options, const struct dhcp_conf *conf)
{
	const struct addr *server = conf->boot_server.family ? &conf->boot_server : &conf->gateway;
	char text[ADDR_TEXT_MAX];
	int r;

	if (!conf->boot_file)
		return 0;
	addr_format(server, text);
	r = dhcp_options_set(options, DHCP_OPT_BOOT_SERVER, text, strlen(text), false);
	if (r == 0)
		r = dhcp_options_set(options, DHCP_OPT_BOOT_FILE, conf->boot_file,
				     strlen(conf->boot_file), false);
	return r;
}

static int set_extra(struct dhcp_options *options, const struct dhcp_extra *extra)
{
	if (!extra->omit)
		return dhcp_options_set(options, extra->code, extra->data, extra->size,
					extra->always);
	remove_option(options, extra->code);
	return 0;
}

int dhcp_options_from_conf(struct dhcp_options *options, const struct dhcp_conf *conf)
{
	int r = set_link(options, conf);

	if (r == 0)
		r = set_names(options, conf);
	if (r == 0)
		r = set_addresses(options, DHCP_OPT_NTP, conf->ntp, conf->ntp_count);
	if (r == 0)
		r = set_boot(options, conf);
	for (size_t i = 0; r == 0 && i < conf->extra_count; i++)
		r = set_extra(options, &conf->extras[i]);
	if (r == 0)
		r = set_routes(options, conf);
	return r;
}

void dhcp_options_put(struct dhcp_option_writer *to, uint8_t code, const void *data, size_t size)
{
	if (!to->written[code])
		to->written[code] = dhcp_put_option(to->w, to->reserve, code, data, size);
}

void dhcp_options_put_u32(struct dhcp_option_writer *to, uint8_t code, uint32_t value)
{
	uint8_t bytes[4];
	struct wire_writer w = wire_writer(bytes, sizeof(bytes));

	wire_put_be32(&w, value);
	dhcp_options_put(to, code, bytes, sizeof(bytes));
}

static void put_one(struct dhcp_option_writer *to, const struct dhcp_options *options, uint8_t code,
		    dhcp_option_fn *own, void *arg)
{
	const struct dhcp_value *value = &options->values[code];

	own(arg, to, code);
	if (value->data)
		dhcp_options_put(to, code, value->data, value->size);
}

void dhcp_options_put_wanted(struct dhcp_option_writer *to, const struct dhcp_options *options,
			     const uint8_t *wanted, size_t wanted_count, dhcp_option_fn *own,
			     void *arg)
{
	for (size_t i = 0; i < wanted_count; i++)
		put_one(to, options, wanted[i], own, arg);
	for (unsigned code = DHCP_OPT_PAD + 1; code < DHCP_OPT_END; code++)
		if (wanted_count == 0 || options->values[code].always)
			put_one(to, options, (uint8_t)code, own, arg);
}
