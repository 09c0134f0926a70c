/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's IP stack: what frames from guests are, and who gets them; IPv4 and ARP. See
 * stack.h. IPv6 is in ip6_input.c, packets to guests are in packet.c, TCP is in conn.c.
 */
#include "netstack/stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/init.h>
#include <lwip/ip4_frag.h>

#include "base/csum.h"
#include "base/log.h"
#include "base/wire.h"
#include "netstack/reass6.h"
#include "netstack/router_adv.h"
#include "netstack/stack_private.h"

LOG_MODULE("stack");

#define ARP_REQUEST 1
#define ARP_REPLY   2
#define ARP_SIZE    28

#define ICMP_ECHO_REQUEST  8
#define ICMP_TIME_EXCEEDED 11

#define IP4_DONT_FRAGMENT 0x4000
#define IP4_FRAGMENT_MASK 0x3fff /* "more fragments" and the offset */

/* lwIP can be initialised once in a process. */
static bool lwip_ready;
static bool stack_exists;

/* ---- ARP, RFC 826 ---- */

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

static void input_arp(struct stack *stack, unsigned port, const struct frame *frame)
{
	const uint8_t *bytes = frame->iov[0].iov_base;
	struct wire_reader r = wire_reader(bytes + ETH_HEADER_SIZE,
					   frame->iov[0].iov_len - ETH_HEADER_SIZE);
	struct addr sender = {.family = AF_INET};
	struct addr target = {.family = AF_INET};
	struct mac sender_mac;
	uint16_t operation;

	if (wire_be16(&r) != 1 || wire_be16(&r) != ETHERTYPE_IPV4 || wire_u8(&r) != MAC_SIZE ||
	    wire_u8(&r) != 4) {
		stack->counters.rx_invalid++;
		return;
	}
	operation = wire_be16(&r);
	wire_copy(&r, sender_mac.bytes, MAC_SIZE);
	wire_copy(&r, &sender.v4, 4);
	wire_skip(&r, MAC_SIZE);
	wire_copy(&r, &target.v4, 4);
	if (!wire_ok(&r)) {
		stack->counters.rx_invalid++;
		return;
	}
	if (stack_is_ours(stack, &sender)) {
		stack->counters.rx_spoofed++;
		log_limited(LOG_LEVEL_WARN,
			    "a guest claims the gateway's or the host's address by ARP");
		return;
	}
	/* A probe (sender 0.0.0.0, RFC 5227) is answered, not learned. */
	stack_note_neighbour(stack, &sender, &sender_mac, port);
	if (operation == ARP_REQUEST && stack_is_ours(stack, &target))
		stack_send_arp(stack, ARP_REPLY, &sender_mac, &target, &sender_mac, &sender);
}

/* ---- IPv4 ---- */

static void decode_ip4(const uint8_t *ip, struct ip4_packet *ret)
{
	struct wire_reader r = wire_reader(ip, IP4_HEADER_SIZE);

	ret->header_size = (uint16_t)((wire_u8(&r) & 0x0f) * 4);
	ret->tos = wire_u8(&r);
	ret->total_size = wire_be16(&r);
	wire_skip(&r, 2);
	ret->fragment = wire_be16(&r);
	ret->ttl = wire_u8(&r);
	ret->protocol = wire_u8(&r);
	wire_skip(&r, 2);
	ret->src.family = ret->dst.family = AF_INET;
	wire_copy(&r, &ret->src.v4, 4);
	wire_copy(&r, &ret->dst.v4, 4);
}

static void input_echo(struct stack *stack, unsigned port, const struct ip4_packet *packet,
		       const uint8_t *ip)
{
	const uint8_t *icmp = ip + packet->header_size;
	size_t size = packet->total_size - packet->header_size;
	struct wire_reader r = wire_reader(icmp, size);
	struct stack_echo echo = {
		.src = packet->src,
		.dst = packet->dst,
		.port = port,
		.ttl = packet->ttl,
		.tos = packet->tos,
		.dont_fragment = packet->fragment & IP4_DONT_FRAGMENT,
		.ip = ip,
		.ip_size = packet->total_size,
	};

	if (csum_fold(csum_add(0, icmp, size)) != 0) {
		stack->counters.rx_invalid++;
		return;
	}
	if (wire_u8(&r) != ICMP_ECHO_REQUEST || wire_u8(&r) != 0)
		return;
	wire_skip(&r, 2);
	echo.id = wire_be16(&r);
	echo.sequence = wire_be16(&r);
	if (!wire_ok(&r))
		return;
	echo.payload = icmp + ICMP_HEADER_SIZE;
	echo.size = size - ICMP_HEADER_SIZE;
	if (addr_equal(&packet->dst, &stack->conf.gateway) ||
	    addr_equal(&packet->dst, stack_router(&stack->conf, AF_INET)))
		stack_send_echo_reply(stack, &packet->dst, &packet->src, echo.id, echo.sequence,
				      STACK_TTL, packet->tos, echo.payload, echo.size);
	else
		stack->handler->echo(stack->handler_arg, &echo);
}

static void input_icmp(struct stack *stack, unsigned port, const struct mac *src_mac,
		       const struct ip4_packet *packet, const uint8_t *ip)
{
	bool known = pmtu_input4(stack, port, src_mac, ip + packet->header_size,
				 packet->total_size - packet->header_size);

	if (stack_on_link(stack, &packet->src))
		input_echo(stack, port, packet, ip);
	else if (!known)
		stack->counters.rx_spoofed++;
}

static void input_udp(struct stack *stack, unsigned port, const struct mac *src_mac,
		      const struct ip4_packet *packet, const uint8_t *ip)
{
	const uint8_t *udp = ip + packet->header_size;
	size_t room = packet->total_size - packet->header_size;
	struct wire_reader r = wire_reader(udp, room);
	uint16_t src_port = wire_be16(&r);
	uint16_t dst_port = wire_be16(&r);
	size_t size = wire_be16(&r);
	struct stack_datagram datagram = {
		.src = {.addr = packet->src, .port = src_port},
		.dst = {.addr = packet->dst, .port = dst_port},
		.src_mac = *src_mac,
		.port = port,
		.ttl = packet->ttl,
		.tos = packet->tos,
		.dont_fragment = packet->fragment & IP4_DONT_FRAGMENT,
		.from_behind = !addr_is_any(&packet->src) && !stack_on_link(stack, &packet->src),
		.ip = ip,
		.ip_size = packet->total_size,
	};

	wire_skip(&r, 2);
	if (!wire_ok(&r) || size < UDP_HEADER_SIZE || size > room || !datagram.dst.port) {
		stack->counters.rx_invalid++;
		return;
	}
	datagram.payload = udp + UDP_HEADER_SIZE;
	datagram.size = size - UDP_HEADER_SIZE;
	stack->handler->datagram(stack->handler_arg, &datagram);
}

const uint8_t *stack_flatten(struct stack *stack, const struct frame *frame,
			     const struct frame_headers *headers)
{
	size_t at = 0;

	if (frame->iov[0].iov_len >= headers->ip_end)
		return (const uint8_t *)frame->iov[0].iov_base + headers->ip_offset;
	for (unsigned i = 0; i < frame->iov_count && at < headers->ip_end; i++) {
		size_t piece = frame->iov[i].iov_len;

		if (piece > headers->ip_end - at)
			piece = headers->ip_end - at;
		memcpy(stack->rx_scratch + at, frame->iov[i].iov_base, piece);
		at += piece;
	}
	return stack->rx_scratch + headers->ip_offset;
}

/* A router lets no packet live on whose time is up (RFC 1812, 5.3.1). Services of our own are at
 * the last hop. */
static bool expires_here(struct stack *stack, const struct ip4_packet *packet,
			 const struct frame *frame, const struct frame_headers *headers)
{
	if (packet->ttl > 1 || stack_is_ours(stack, &packet->dst) ||
	    addr_is_multicast(&packet->dst) || addr_v4(&packet->dst) == INADDR_BROADCAST)
		return false;
	stack_send_icmp_error(stack, NULL, ICMP_TIME_EXCEEDED, 0, 0,
			      stack_flatten(stack, frame, headers), packet->total_size);
	return true;
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
			const struct addr *src, bool is_fragment)
{
	const struct behind_entry *entry = behind_find(stack->behind, src, NULL);
	struct mac mac;

	/* Reassembly of IPv4 doesn't know one guest's fragments from another's. */
	if (entry && is_fragment && src->family == AF_INET &&
	    behind_find(stack->behind, src, entry))
		return false;
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
		       is_expected(stack, port, frame, src, is_fragment);
	return !is_fragment &&
	       (protocol == IPPROTO_TCP ||
		protocol == (src->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6));
}

/* ---- IPv4, whose packets and to where ---- */

/* Whether a guest may send from this address to that one through the gateway. */
static bool admissible(struct stack *stack, unsigned port, const struct ip4_packet *packet,
		       const struct frame *frame, const struct frame_headers *headers)
{
	/* Who has no address yet asks the gateway or everybody (DHCP). */
	bool dhcp = addr_is_any(&packet->src) && packet->protocol == IPPROTO_UDP &&
		    (stack_is_ours(stack, &packet->dst) || stack_is_broadcast(stack, &packet->dst));

	if ((!dhcp && !prefix_contains(&stack->conf.subnet, &packet->src) &&
	     !stack_may_be_behind(stack, port, frame, &packet->src, &packet->dst, packet->protocol,
				  packet->fragment & IP4_FRAGMENT_MASK)) ||
	    stack_is_ours(stack, &packet->src) || stack_is_broadcast(stack, &packet->src) ||
	    addr_equal(&packet->src, &stack->conf.subnet.addr)) {
		stack->counters.rx_spoofed++;
		return false;
	}
	if (prefix_contains(&stack->conf.subnet, &packet->dst) &&
	    !stack_is_ours(stack, &packet->dst) && packet->protocol != IPPROTO_UDP) {
		/* Guests reach each other through the switch, not through the gateway. */
		stack->counters.rx_unroutable++;
		stack_send_unreachable(stack, STACK_UNREACH_HOST,
				       stack_flatten(stack, frame, headers), packet->total_size);
		return false;
	}
	if (addr_is_multicast(&packet->dst)) {
		stack->counters.rx_unroutable++;
		return false;
	}
	return true;
}

static void input_ip4(struct stack *stack, unsigned port, const struct frame *frame,
		      const struct frame_headers *headers);

static void on_reass_tick(void *arg)
{
	struct stack *stack = arg;

	ip_reass_tmr();
	if (stack->reass_ticks_left-- > 1)
		loop_timer_set(stack->reass_timer, IP_TMR_INTERVAL);
}

/* Gives a fragment to lwIP's reassembly, and takes the whole packet on when it was the last one. */
static void input_fragment(struct stack *stack, unsigned port, const struct frame *frame,
			   const struct frame_headers *headers)
{
	const uint8_t *ip = stack_flatten(stack, frame, headers);
	uint16_t size = (uint16_t)(headers->ip_end - headers->ip_offset);
	struct pbuf *p = pbuf_alloc(PBUF_RAW, size, PBUF_RAM);
	struct iovec iov;
	struct frame whole = {.iov = &iov, .iov_count = 1};
	struct frame_headers whole_headers;
	uint8_t *flat;

	if (!p)
		return;
	memcpy(p->payload, ip, size);
	p = ip4_reass(p);
	stack->reass_ticks_left = IP_REASS_MAXAGE + 1;
	if (!loop_timer_pending(stack->reass_timer))
		loop_timer_set(stack->reass_timer, IP_TMR_INTERVAL);
	if (!p)
		return;
	flat = malloc(ETH_HEADER_SIZE + p->tot_len);
	if (flat) {
		memcpy(flat, frame->iov[0].iov_base, ETH_HEADER_SIZE);
		pbuf_copy_partial(p, flat + ETH_HEADER_SIZE, p->tot_len, 0);
		iov = (struct iovec){.iov_base = flat, .iov_len = ETH_HEADER_SIZE + p->tot_len};
		whole.size = (uint32_t)iov.iov_len;
		if (frame_parse_headers(&whole, &whole_headers) == 0 && !whole_headers.fragment &&
		    offload_csum_ok(&whole, &whole_headers))
			input_ip4(stack, port, &whole, &whole_headers);
		else
			stack->counters.rx_invalid++;
	}
	pbuf_free(p);
	free(flat);
}

static void input_ip4(struct stack *stack, unsigned port, const struct frame *frame,
		      const struct frame_headers *headers)
{
	const uint8_t *eth = frame->iov[0].iov_base;
	const uint8_t *ip = eth + headers->ip_offset;
	struct ip4_packet packet;
	struct mac src_mac;

	decode_ip4(ip, &packet);
	if (!admissible(stack, port, &packet, frame, headers))
		return;
	memcpy(src_mac.bytes, eth + MAC_SIZE, MAC_SIZE);
	if (!addr_is_any(&packet.src))
		stack_note_neighbour(stack, &packet.src, &src_mac, port);
	if (packet.fragment & IP4_FRAGMENT_MASK) {
		input_fragment(stack, port, frame, headers);
		return;
	}
	if (packet.protocol == IPPROTO_TCP) {
		if (!expires_here(stack, &packet, frame, headers))
			conn_input(stack, port, &packet.src, &packet.dst, frame, headers);
		return;
	}
	if (expires_here(stack, &packet, frame, headers))
		return;
	ip = stack_flatten(stack, frame, headers);
	if (packet.protocol == IPPROTO_UDP)
		input_udp(stack, port, &src_mac, &packet, ip);
	else if (packet.protocol == IPPROTO_ICMP)
		input_icmp(stack, port, &src_mac, &packet, ip);
	else
		stack_send_icmp_error(stack, NULL, 3, 2, 0, ip, packet.total_size);
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
		if (frame->iov[0].iov_len >= ETH_HEADER_SIZE + ARP_SIZE &&
		    (eth[12] << 8 | eth[13]) == ETHERTYPE_ARP)
			input_arp(stack, port, frame);
		return;
	}
	stack->counters.rx_packets++;
	if (r == 0 && headers.ip_version == 6)
		stack_input_ip6(stack, port, frame, &headers);
	else if (r == 0 && offload_csum_ok(frame, &headers))
		input_ip4(stack, port, frame, &headers);
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
		reass6_forget_port(stack->reass6, port);
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
	stack->ip6_id = (uint32_t)random();
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
		r = loop_timer_new(loop, on_reass_tick, stack, &stack->reass_timer);
	if (r == 0)
		r = reass6_new(&stack->reass6);
	if (r == 0)
		r = loop_timer_new(loop, stack_expire_ip6, stack, &stack->reass6_timer);
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
	/* Fragments that still wait are lwIP's, not this stack's. */
	for (int i = 0; i <= IP_REASS_MAXAGE; i++)
		ip_reass_tmr();
	loop_timer_free(stack->reass_timer);
	loop_timer_free(stack->reass6_timer);
	loop_timer_free(stack->away_timer);
	reass6_free(stack->reass6);
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
