/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's IP stack: its parts, and what comes from the switch; see stack.h. What packets are
 * and who gets them is in ip4_input.c, ip6_input.c and, of TCP, conn_input.c; packets to guests are
 * in packet.c.
 */
#include "netstack/stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/init.h>

#include "netstack/router_adv.h"
#include "netstack/stack_private.h"

/* lwIP can be initialised once in a process. */
static bool lwip_ready;
static bool stack_exists;

/* ---- Addresses of ours and neighbours ---- */

bool stack_is_ours(const struct stack *stack, const struct addr *addr)
{
	if (addr->family == AF_INET)
		return addr_equal(addr, &stack->conf.gateway) ||
		       addr_equal(addr, &stack->conf.alias);
	if (addr_equal(addr, &stack->link_local))
		return true;
	return stack->conf.prefix6.length &&
	       (addr_equal(addr, &stack->conf.gateway6) || addr_equal(addr, &stack->conf.alias6));
}

/* Connections that wait for their guest try again where it may be the one that speaks. */
static void stack_look_for_return(struct stack *stack, const struct addr *addr, unsigned port)
{
	const struct neigh *neigh = neigh_lookup(stack->neighbours, addr);

	if (!neigh || neigh->port != port)
		conn_writable(stack);
}

void stack_note_neighbour(struct stack *stack, const struct addr *addr, const struct mac *mac,
			  unsigned port)
{
	size_t size = 0;
	void *held;

	if (stack_is_ours(stack, addr) || mac_is_group(mac) || !stack_on_link(stack, addr))
		return;
	if (stack->away.count && port)
		stack_look_for_return(stack, addr, port);
	held = neigh_learn(stack->neighbours, addr, mac, port, &size);
	if (held)
		stack_output_held(stack, addr, held, size);
}

/* ---- From behind guests ---- */

bool stack_is_from(struct stack *stack, const struct addr *hop, unsigned port,
		   const struct mac *mac)
{
	const struct neigh *neigh = neigh_lookup(stack->neighbours, hop);

	if (!neigh)
		return false;
	/* Of a lease, it isn't known where its guest is: but the guard knows whose its MAC is. */
	return neigh->port ? neigh->port == port : mac_equal(&neigh->mac, mac);
}

int stack_expect(struct stack *stack, const struct addr *addr, const struct addr *hop)
{
	if (!behind_address_ok(&stack->conf, addr))
		return -EHOSTUNREACH;
	return behind_add(stack->behind, addr, hop);
}

void stack_unexpect(struct stack *stack, const struct addr *addr, const struct addr *hop)
{
	behind_remove(stack->behind, addr, hop);
}

static bool is_expected(struct stack *stack, unsigned port, const struct frame *frame,
			const struct addr *src)
{
	const struct behind_entry *entry = behind_find(stack->behind, src, NULL);
	struct mac mac;

	memcpy(mac.bytes, (const uint8_t *)frame->iov[0].iov_base + MAC_SIZE, MAC_SIZE);
	for (; entry; entry = behind_find(stack->behind, src, entry)) {
		if (stack_is_from(stack, &entry->hop, port, &mac))
			return true;
	}
	return false;
}

bool stack_may_be_behind(struct stack *stack, unsigned port, const struct frame *frame,
			 const struct addr *src, const struct addr *dst, uint8_t protocol,
			 bool is_fragment)
{
	if (!behind_address_ok(&stack->conf, src) || addr_is_multicast(dst) ||
	    stack_is_broadcast(stack, dst))
		return false;
	if (protocol == IPPROTO_UDP || (is_fragment && src->family == AF_INET6))
		return (!stack_on_link(stack, dst) || stack_is_ours(stack, dst)) &&
		       is_expected(stack, port, frame, src);
	return !is_fragment &&
	       (protocol == IPPROTO_TCP ||
		protocol == (src->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6));
}

/* ---- Fragments ---- */

static void on_reass_timer(void *arg)
{
	struct stack *stack = arg;
	uint64_t now_ms = loop_now_ms(stack->loop);
	uint64_t next_ms = reass_expire(stack->reass, now_ms);

	if (next_ms)
		loop_timer_set(stack->reass_timer, next_ms - now_ms);
}

/* Makes a frame of the packet, with the Ethernet header of the last one that brought a part. */
static int whole_packet_frame(struct whole_packet *whole, size_t size, const struct frame *last)
{
	_Static_assert(REASS_ROOM >= ETH_HEADER_SIZE, "room for an Ethernet header");
	whole->iov = (struct iovec){.iov_base = whole->ip - ETH_HEADER_SIZE,
				    .iov_len = ETH_HEADER_SIZE + size};
	whole->frame = (struct frame){
		.iov = &whole->iov, .iov_count = 1, .size = (uint32_t)whole->iov.iov_len};
	memcpy(whole->iov.iov_base, last->iov[0].iov_base, ETH_HEADER_SIZE);
	/* IPv6: a second fragment header would begin another round. */
	if (frame_parse_headers(&whole->frame, &whole->headers) < 0 || whole->headers.fragment)
		return -EBADMSG;
	return 0;
}

enum reass_result stack_reassemble(struct stack *stack, const struct reass_fragment *fragment,
				   const struct frame *last, struct whole_packet *ret_whole)
{
	uint64_t now_ms = loop_now_ms(stack->loop);
	enum reass_result result;
	uint8_t *ip;
	size_t size;

	reass_expire(stack->reass, now_ms);
	result = reass_add(stack->reass, fragment, now_ms, &ip, &size);
	if (reass_fragments(stack->reass) && !loop_timer_pending(stack->reass_timer))
		loop_timer_set(stack->reass_timer, REASS_LIFETIME_MS);
	if (result != REASS_COMPLETE)
		return result;
	ret_whole->ip = ip;
	if (whole_packet_frame(ret_whole, size, last) == 0)
		return REASS_COMPLETE;
	stack->counters.rx_invalid++;
	reass_packet_free(ip);
	return REASS_KEPT;
}

/* ---- From the switch ---- */

static void on_receive(void *arg, unsigned port, const struct frame *frame)
{
	struct stack *stack = arg;
	const uint8_t *eth = frame->iov[0].iov_base;
	struct frame_headers headers;
	int r;

	r = frame_parse_headers(frame, &headers);
	if (r == -EPROTONOSUPPORT) {
		if (load_be16(eth + ETHERTYPE_OFFSET) == ETHERTYPE_ARP)
			arp_input(stack, port, frame);
		return;
	}
	stack->counters.rx_packets++;
	if (r == 0 && headers.ip_version == 6)
		stack_input_ip6(stack, port, frame, &headers);
	else if (r == 0 && offload_csum_ok(frame, &headers))
		stack_input_ip4(stack, port, frame, &headers);
	else
		stack->counters.rx_invalid++;
}

static void on_writable(void *arg)
{
	conn_writable(arg);
}

/* The guest that was there won't come back: what it had ends. */
static void end_away(struct stack *stack, unsigned port)
{
	away_end(&stack->away, port);
	conn_port_gone(stack, port);
	if (stack->handler->port_gone)
		stack->handler->port_gone(stack->handler_arg, port);
}

static void on_away_timer(void *arg)
{
	struct stack *stack = arg;
	uint64_t now = loop_now_ms(stack->loop), next_ms;
	unsigned port;

	while ((port = away_expired(&stack->away, now, &next_ms)) != 0)
		end_away(stack, port);
	if (next_ms != UINT64_MAX)
		loop_timer_set(stack->away_timer, next_ms - now);
}

static void on_port_changed(void *arg, unsigned port, const struct link *link, bool attached)
{
	struct stack *stack = arg;

	if (attached) {
		/* The number is another guest's from now on. */
		if (away_is(&stack->away, port))
			end_away(stack, port);
		away_attached(&stack->away, port, link->name);
		if (stack->away.count)
			conn_writable(stack);
	} else {
		neigh_forget_port(stack->neighbours, port);
		reass_forget_port(stack->reass, port);
		away_gone(&stack->away, port, loop_now_ms(stack->loop));
		if (!loop_timer_pending(stack->away_timer))
			loop_timer_set(stack->away_timer, AWAY_MS);
	}
	router_adv_port_changed(stack->router_adv, attached);
	if (stack->handler->port_changed)
		stack->handler->port_changed(stack->handler_arg, port, link, attached);
}

/* ---- Life ---- */

static err_t netif_init_ours(struct netif *netif)
{
	struct stack *stack = netif->state;

	netif->name[0] = 'n';
	netif->name[1] = 'p';
	netif->mtu = (u16_t)stack->conf.mtu;
	netif->output = stack_lwip_output;
	netif->output_ip6 = stack_lwip_output6;
	return ERR_OK;
}

static int netif_up(struct stack *stack)
{
	ip4_addr_t addr, mask, any;

	ip4_addr_set_u32(&addr, stack->conf.gateway.v4.s_addr);
	ip4_addr_set_u32(&mask, htonl(prefix_mask4(&stack->conf.subnet)));
	ip4_addr_set_u32(&any, 0);
	if (!netif_add(&stack->netif, &addr, &mask, &any, stack, netif_init_ours, NULL))
		return -ENOMEM;
	netif_set_default(&stack->netif);
	netif_set_link_up(&stack->netif);
	netif_set_up(&stack->netif);
	return 0;
}

static int conf_check(const struct stack_conf *conf)
{
	if (conf->mtu < STACK_MTU_MIN || conf->mtu > STACK_MTU_MAX || conf->conns_max == 0 ||
	    conf->subnet.addr.family != AF_INET || mac_is_group(&conf->mac) ||
	    !prefix_contains(&conf->subnet, &conf->gateway) ||
	    !prefix_contains(&conf->subnet, &conf->alias) ||
	    addr_equal(&conf->gateway, &conf->alias))
		return -EINVAL;
	if (conf->prefix6.length &&
	    (conf->mtu < IP6_MTU_MIN || conf->prefix6.addr.family != AF_INET6 ||
	     !prefix_contains(&conf->prefix6, &conf->gateway6) ||
	     !prefix_contains(&conf->prefix6, &conf->alias6) ||
	     addr_equal(&conf->gateway6, &conf->alias6)))
		return -EINVAL;
	return 0;
}

int stack_new(struct loop *loop, const struct stack_conf *conf, const struct stack_handler *handler,
	      void *arg, struct stack **ret_stack)
{
	static const struct switch_local local = {
		.receive = on_receive,
		.writable = on_writable,
		.port_changed = on_port_changed,
	};
	struct stack *stack;
	int r = conf_check(conf);

	if (r < 0)
		return r;
	if (stack_exists)
		return -EBUSY;
	stack = calloc(1, sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	stack->loop = loop;
	stack->conf = *conf;
	stack->handler = handler;
	stack->handler_arg = arg;
	stack->link_local = addr_link_local(&conf->mac);
	stack->ip6_id = (uint32_t)hash_key_random().words[0];
	away_init(&stack->away);
	stack_exists = true;
	if (!lwip_ready) {
		lwip_init();
		lwip_ready = true;
	}
	r = neigh_table_new(&stack->neighbours);
	if (r == 0)
		r = behind_new(&stack->behind);
	if (r == 0)
		r = switch_new(loop, &conf->mac, &local, stack, &stack->sw);
	if (r == 0)
		r = reass_new(&stack->reass);
	if (r == 0)
		r = loop_timer_new(loop, on_reass_timer, stack, &stack->reass_timer);
	if (r == 0)
		r = loop_timer_new(loop, on_away_timer, stack, &stack->away_timer);
	if (r == 0)
		r = conn_table_init(stack);
	if (r == 0)
		r = netif_up(stack);
	if (r < 0) {
		stack_free(stack);
		return r;
	}
	*ret_stack = stack;
	return 0;
}

void stack_free(struct stack *stack)
{
	if (!stack)
		return;
	router_adv_stop(stack);
	if (stack->tcp.tick)
		conn_table_destroy(stack);
	if (stack->netif.state)
		netif_remove(&stack->netif);
	loop_timer_free(stack->reass_timer);
	loop_timer_free(stack->away_timer);
	reass_free(stack->reass);
	switch_free(stack->sw);
	neigh_table_free(stack->neighbours);
	behind_free(stack->behind);
	stack_exists = false;
	free(stack);
}

struct nswitch *stack_switch(struct stack *stack)
{
	return stack->sw;
}

const struct stack_conf *stack_conf(const struct stack *stack)
{
	return &stack->conf;
}

struct stack_counters stack_counters(const struct stack *stack)
{
	struct stack_counters counters = stack->counters;

	counters.conns = stack->tcp.count;
	counters.conns_total = stack->tcp.total;
	counters.conns_refused_full = stack->tcp.refused_full;
	counters.conns_rx_refused = stack->tcp.rx_refused;
	return counters;
}

void stack_learn(struct stack *stack, const struct addr *addr, const struct mac *mac)
{
	stack_note_neighbour(stack, addr, mac, 0);
}

bool stack_neighbour(struct stack *stack, const struct addr *addr, struct mac *ret_mac)
{
	const struct neigh *neigh = neigh_lookup(stack->neighbours, addr);

	if (!neigh)
		return false;
	*ret_mac = neigh->mac;
	return true;
}
