/* SPDX-License-Identifier: Apache-2.0 */
/* When router advertisements are sent; see router_adv.h. */
#include "netstack/router_adv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hmap.h"
#include "netstack/ra.h"
#include "netstack/stack_private.h"

#define ND_HOP_LIMIT 255

/* Three times the longest interval: two advertisements may get lost (RFC 4861, 6.2.1; the same for
 * the name server, RFC 8106, 5.1). */
#define ROUTER_LIFETIME_S (3 * ROUTER_ADV_INTERVAL_MAX_MS / 1000)

/* RFC 9096, 3.4: short enough that addresses of a prefix that is no more don't stay for long. */
#define PREFIX_PREFERRED_S 2700
#define PREFIX_VALID_S     5400

struct router_adv {
	struct stack *stack;
	struct router_adv_conf conf;
	uint8_t search[RA_SEARCH_SIZE_MAX];
	struct loop_timer *timer;   /* runs while links are attached: the next one to all nodes */
	unsigned links;             /* attached now */
	unsigned initial_left;      /* of those that follow an attachment, to all nodes */
	bool multicast_sent;        /* whether last_multicast_ms counts */
	uint64_t last_multicast_ms; /* when all nodes were last sent to */
	uint64_t next_multicast_ms; /* when the timer fires */
	unsigned unicast_left;      /* answers to single guests that may be sent... */
	uint64_t unicast_refill_ms; /* ... since then */
	struct hash_key random_key; /* makes the intervals random */
	uint64_t random_count;
};

/* ---- What is sent ---- */

static void send_to(struct router_adv *adv, const struct mac *mac, const struct addr *dst,
		    bool final)
{
	struct stack *stack = adv->stack;
	const struct stack_conf *conf = &stack->conf;
	struct addr src = stack_link_local(stack);
	uint8_t bytes[RA_SIZE_MAX];
	struct ra ra = {
		.mac = conf->mac,
		.hop_limit = 64,
		/* What takes the route away must not send guests to DHCPv6. */
		.managed = adv->conf.managed && !final,
		.other = adv->conf.other && !final,
		.router_lifetime_s = final ? 0 : ROUTER_LIFETIME_S,
		.mtu = conf->mtu,
		.prefix = conf->prefix6,
		.autonomous = adv->conf.autonomous,
		.valid_s = PREFIX_VALID_S,
		.preferred_s = PREFIX_PREFERRED_S,
		.dns = conf->gateway6,
		.dns_lifetime_s = ROUTER_LIFETIME_S,
		.search = adv->search,
		.search_size = adv->conf.search_size,
	};

	stack_send_icmp6(stack, mac, &src, dst, ND_HOP_LIMIT, bytes,
			 ra_encode(&ra, bytes, sizeof(bytes)));
}

static void send_to_all(struct router_adv *adv, bool final)
{
	static const struct mac all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};
	static const struct in6_addr all_nodes = {.s6_addr = {0xff, 0x02, [15] = 1}};
	struct addr dst = addr_from_in6(&all_nodes);

	send_to(adv, &all_nodes_mac, &dst, final);
}

/* ---- When ---- */

/* Random, so that networks that were started together don't stay in step (RFC 4861, 6.2.4). */
static uint64_t random_interval_ms(struct router_adv *adv)
{
	uint64_t number = hash_bytes(&adv->random_key, &adv->random_count, sizeof(uint64_t));

	adv->random_count++;
	return ROUTER_ADV_INTERVAL_MIN_MS +
	       number % (ROUTER_ADV_INTERVAL_MAX_MS - ROUTER_ADV_INTERVAL_MIN_MS + 1);
}

static void schedule(struct router_adv *adv, uint64_t at_ms, uint64_t now_ms)
{
	adv->next_multicast_ms = at_ms;
	loop_timer_set(adv->timer, at_ms > now_ms ? at_ms - now_ms : 0);
}

/* One to all nodes, as soon as it may be. */
static void schedule_soon(struct router_adv *adv, uint64_t now_ms)
{
	uint64_t at_ms = now_ms;

	if (adv->multicast_sent && now_ms < adv->last_multicast_ms + ROUTER_ADV_SPACING_MS)
		at_ms = adv->last_multicast_ms + ROUTER_ADV_SPACING_MS;
	if (!loop_timer_pending(adv->timer) || at_ms < adv->next_multicast_ms)
		schedule(adv, at_ms, now_ms);
}

static void on_timer(void *arg)
{
	struct router_adv *adv = arg;
	uint64_t now_ms = loop_now_ms(adv->stack->loop);
	uint64_t wait_ms = random_interval_ms(adv);

	send_to_all(adv, false);
	adv->multicast_sent = true;
	adv->last_multicast_ms = now_ms;
	if (adv->initial_left > 0 && --adv->initial_left > 0)
		wait_ms = ROUTER_ADV_INITIAL_MS;
	schedule(adv, now_ms + wait_ms, now_ms);
}

/* Takes one of the answers to single guests that may be sent now. */
static bool take_unicast(struct router_adv *adv, uint64_t now_ms)
{
	if (now_ms - adv->unicast_refill_ms >= ROUTER_ADV_SPACING_MS) {
		adv->unicast_refill_ms = now_ms;
		adv->unicast_left = ROUTER_ADV_UNICAST_MAX;
	}
	if (adv->unicast_left == 0)
		return false;
	adv->unicast_left--;
	return true;
}

void router_adv_solicited(struct router_adv *adv, const struct addr *src, const struct mac *mac)
{
	uint64_t now_ms;

	if (!adv)
		return;
	now_ms = loop_now_ms(adv->stack->loop);
	if (!addr_is_any(src) && take_unicast(adv, now_ms))
		send_to(adv, mac, src, false);
	else
		schedule_soon(adv, now_ms);
}

void router_adv_port_changed(struct router_adv *adv, bool attached)
{
	if (!adv)
		return;
	if (attached) {
		adv->links++;
		adv->initial_left = ROUTER_ADV_INITIAL;
		schedule_soon(adv, loop_now_ms(adv->stack->loop));
	} else if (adv->links > 0 && --adv->links == 0) {
		loop_timer_cancel(adv->timer);
	}
}

/* ---- Life ---- */

int router_adv_start(struct stack *stack, const struct router_adv_conf *conf)
{
	struct router_adv *adv;
	int r;

	if (stack->router_adv)
		return -EEXIST;
	if (!stack->conf.prefix6.length || conf->search_size > RA_SEARCH_SIZE_MAX)
		return -EINVAL;
	adv = calloc(1, sizeof(*adv));
	if (!adv)
		return -ENOMEM;
	adv->stack = stack;
	adv->conf = *conf;
	adv->conf.search = NULL;
	if (conf->search_size)
		memcpy(adv->search, conf->search, conf->search_size);
	adv->random_key = hash_key_random();
	adv->unicast_left = ROUTER_ADV_UNICAST_MAX;
	r = loop_timer_new(stack->loop, on_timer, adv, &adv->timer);
	if (r < 0) {
		free(adv);
		return r;
	}
	stack->router_adv = adv;
	for (unsigned i = switch_ports(stack->sw, NULL, 0); i > 0; i--)
		router_adv_port_changed(adv, true);
	return 0;
}

int router_adv_set_search(struct stack *stack, const uint8_t *search, size_t size)
{
	struct router_adv *adv = stack->router_adv;

	if (!adv)
		return 0;
	if (size > RA_SEARCH_SIZE_MAX)
		return -EINVAL;
	if (size)
		memcpy(adv->search, search, size);
	adv->conf.search_size = size;
	if (adv->links > 0)
		schedule_soon(adv, loop_now_ms(stack->loop));
	return 0;
}

void router_adv_stop(struct stack *stack)
{
	struct router_adv *adv = stack->router_adv;

	if (!adv)
		return;
	if (adv->links > 0) {
		send_to_all(adv, true);
		switch_flush(stack->sw);
	}
	loop_timer_free(adv->timer);
	free(adv);
	stack->router_adv = NULL;
}
