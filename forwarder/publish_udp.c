/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published UDP ports; see publish_udp.h. A client is known to its guest by an address of its own:
 * the client's, or for a client on the host's loopback the gateway's with the client's port. Two
 * clients that would look alike to one guest get different ports.
 */
#include "forwarder/publish_udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/hmap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"
#include "forwarder/forwarder_private.h"
#include "forwarder/proxy_header.h"
#include "forwarder/publish_private.h"
#include "forwarder/publish_source.h"
#include "forwarder/random_port.h"
#include "netstack/behind.h"

LOG_MODULE("publish");

#define DATAGRAM_MAX  65536
#define DATAGRAMS_MAX 64 /* from one port before others get their turn */
#define DEFAULT_TTL   64
#define PORT_ATTEMPTS 16
#define CONTROL_SIZE  (CMSG_SPACE(sizeof(struct in6_pktinfo)))

struct client {
	struct hmap_node by_client; /* in udp.clients: (port, client) */
	struct hmap_node by_guest;  /* in udp.guests: (guest, seen) */
	struct list link;           /* in udp.by_use, the oldest first */
	struct publish_udp_port *port;
	struct sockaddr_storage client;
	socklen_t client_size;
	struct endpoint client_endpoint;
	struct endpoint guest;
	struct addr hop;      /* the guest that it is behind; AF_UNSPEC: none */
	struct endpoint seen; /* the client as the guest sees it */
	uint64_t active_ms;
	_Alignas(struct cmsghdr)
		uint8_t control[CONTROL_SIZE]; /* which of our addresses it talks to */
	size_t control_size;
};

struct publish_udp_port {
	struct publish_udp *udp;
	int fd;
	struct loop_fd *watch;
	struct forward *forward; /* whose port it is */
};

struct publish_udp {
	struct loop *loop;
	struct forwarder *forwarder;
	struct hmap clients;
	struct hmap guests;
	struct list by_use;
	struct hash_key key;
	struct loop_timer *timer;
	uint8_t buffer[PROXY_HEADER_MAX + DATAGRAM_MAX]; /* a datagram, with room in front */
};

struct key {
	uint64_t port; /* of the publish_udp_port, or of the guest */
	struct in6_addr addr;
	struct in6_addr guest;
	uint64_t addr_port;
};

static void key_addr(struct in6_addr *to, const struct addr *addr)
{
	if (addr->family == AF_INET)
		memcpy(to, &addr->v4, sizeof(addr->v4));
	else
		*to = addr->v6;
}

static uint64_t client_hash(const struct publish_udp_port *port, const struct endpoint *client)
{
	struct key key = {.port = (uintptr_t)port, .addr_port = client->port};

	key_addr(&key.addr, &client->addr);
	return hash_bytes(&port->udp->key, &key, sizeof(key));
}

static uint64_t guest_hash(const struct publish_udp *udp, const struct endpoint *guest,
			   const struct endpoint *seen)
{
	struct key key = {.port = guest->port, .addr_port = seen->port};

	key_addr(&key.addr, &seen->addr);
	key_addr(&key.guest, &guest->addr);
	return hash_bytes(&udp->key, &key, sizeof(key));
}

static struct client *find_by_client(struct publish_udp_port *port, const struct endpoint *from)
{
	struct hmap_node *node = hmap_find(&port->udp->clients, client_hash(port, from));

	for (; node; node = hmap_find_next(node)) {
		struct client *client = container_of(node, struct client, by_client);

		if (client->port == port && endpoint_equal(&client->client_endpoint, from))
			return client;
	}
	return NULL;
}

static struct client *find_by_guest(struct publish_udp *udp, const struct endpoint *guest,
				    const struct endpoint *seen)
{
	struct hmap_node *node = hmap_find(&udp->guests, guest_hash(udp, guest, seen));

	for (; node; node = hmap_find_next(node)) {
		struct client *client = container_of(node, struct client, by_guest);

		if (endpoint_equal(&client->guest, guest) && endpoint_equal(&client->seen, seen))
			return client;
	}
	return NULL;
}

static void client_free(struct client *client)
{
	struct publish_udp *udp = client->port->udp;

	if (client->hop.family)
		stack_unexpect(forwarder_stack(udp->forwarder), &client->guest.addr, &client->hop);
	hmap_remove(&udp->clients, &client->by_client);
	hmap_remove(&udp->guests, &client->by_guest);
	list_remove(&client->link);
	client->port->forward->active--;
	free(client);
}

static void client_active(struct client *client)
{
	struct publish_udp *udp = client->port->udp;

	client->active_ms = loop_now_ms(udp->loop);
	list_remove(&client->link);
	list_add_tail(&udp->by_use, &client->link);
	if (!loop_timer_pending(udp->timer))
		loop_timer_set(udp->timer, PUBLISH_UDP_IDLE_MS);
}

static void on_timer(void *arg)
{
	struct publish_udp *udp = arg;
	uint64_t now = loop_now_ms(udp->loop);

	while (!list_empty(&udp->by_use)) {
		struct client *client = container_of(list_first(&udp->by_use), struct client, link);
		uint64_t end = client->active_ms + PUBLISH_UDP_IDLE_MS;

		if (end > now) {
			loop_timer_set(udp->timer, end - now);
			return;
		}
		client_free(client);
	}
}

/* ---- From clients ---- */

/* Chooses how the guest will see the client: as itself where that is possible and free, else with
 * another port. */
static int choose_seen(struct client *client)
{
	struct publish_udp *udp = client->port->udp;
	const struct stack_conf *conf = stack_conf(forwarder_stack(udp->forwarder));
	struct endpoint seen = publish_source(conf, client->port->forward->spec.source,
					      client->guest.addr.family, &client->client_endpoint);

	for (int i = 0; i < PORT_ATTEMPTS; i++) {
		if (seen.port && !find_by_guest(udp, &client->guest, &seen)) {
			client->seen = seen;
			return 0;
		}
		seen.port = random_port();
	}
	return -EADDRINUSE;
}

static int insert(struct client *client)
{
	struct publish_udp *udp = client->port->udp;
	int r = hmap_insert(&udp->clients, &client->by_client,
			    client_hash(client->port, &client->client_endpoint));

	if (r < 0)
		return r;
	r = hmap_insert(&udp->guests, &client->by_guest,
			guest_hash(udp, &client->guest, &client->seen));
	if (r < 0)
		hmap_remove(&udp->clients, &client->by_client);
	return r;
}

static int client_insert(struct client *client)
{
	struct stack *stack = forwarder_stack(client->port->udp->forwarder);
	int r = 0;

	/* What comes from behind a guest is taken from whom it is expected of. */
	if (client->hop.family)
		r = stack_expect(stack, &client->guest.addr, &client->hop);
	if (r == -ENOSPC)
		log_limited(LOG_LEVEL_WARN,
			    "too many addresses behind guests are spoken to: at most %d of one "
			    "guest, %d in all",
			    BEHIND_HOP_MAX, BEHIND_MAX);
	if (r < 0)
		return r;
	r = insert(client);
	if (r < 0 && client->hop.family)
		stack_unexpect(stack, &client->guest.addr, &client->hop);
	return r;
}

static struct client *client_new(struct publish_udp_port *port, const struct endpoint *from)
{
	struct publish_udp *udp = port->udp;
	struct forward *forward = port->forward;
	struct client *client;
	int r;

	if (udp->clients.count >= PUBLISH_UDP_CLIENTS_MAX)
		client_free(container_of(list_first(&udp->by_use), struct client, link));
	client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	client->port = port;
	client->client_endpoint = *from;
	list_init(&client->link);
	forward->connections++;
	r = forward_resolve(forward, from->addr.family, &client->guest, &client->hop);
	if (r == 0)
		r = choose_seen(client);
	if (r == 0)
		r = client_insert(client);
	if (r < 0) {
		forward->refused++;
		free(client);
		return NULL;
	}
	forward->active++;
	return client;
}

/* Keeps the packet info, so that answers leave from the address that the client sent to. */
static void keep_local_address(struct client *client, struct msghdr *msg)
{
	client->control_size = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO;
		bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO;
		size_t size = CMSG_ALIGN(c->cmsg_len);

		if ((!v4 && !v6) || size > sizeof(client->control))
			continue;
		if (v4)
			((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex = 0;
		memcpy(client->control, c, c->cmsg_len);
		client->control_size = size;
		return;
	}
}

/* Which of our addresses a datagram was sent to; AF_UNSPEC when the kernel didn't say. */
static struct endpoint sent_to(const struct client *client)
{
	struct endpoint at = {.port = client->port->forward->bound.port};
	/* Its control message was kept as it came. */
	const struct cmsghdr *c = (const struct cmsghdr *)(const void *)client->control;

	if (!client->control_size)
		return at;
	if (c->cmsg_level == IPPROTO_IP) {
		struct in_pktinfo info;

		memcpy(&info, CMSG_DATA(c), sizeof(info));
		at.addr = addr_from_in(info.ipi_addr);
	} else {
		struct sockaddr_in6 sa = {.sin6_family = AF_INET6};
		struct in6_pktinfo info;

		memcpy(&info, CMSG_DATA(c), sizeof(info));
		sa.sin6_addr = info.ipi6_addr;
		sa.sin6_port = htons(at.port);
		/* Makes IPv4 of what is only disguised. */
		(void)endpoint_from_sockaddr((const struct sockaddr *)&sa, &at);
	}
	return at;
}

/* Sends the datagram in the buffer on, with a header in front where the forward wants one. */
static void send_to_guest(struct client *client, size_t size)
{
	struct publish_udp *udp = client->port->udp;
	struct stack *stack = forwarder_stack(udp->forwarder);
	uint8_t *payload = udp->buffer + PROXY_HEADER_MAX;
	uint8_t header[PROXY_HEADER_MAX];

	client->port->forward->traffic.to_guest += size;
	if (client->port->forward->spec.proxy_v2) {
		struct endpoint at = sent_to(client);
		size_t header_size = proxy_header_write(&client->client_endpoint, &at, true,
							header);

		payload -= header_size;
		size += header_size;
		memcpy(payload, header, header_size);
	}
	if (client->hop.family)
		stack_send_udp_behind(stack, &client->seen, &client->guest, &client->hop,
				      DEFAULT_TTL, 0, payload, size);
	else
		stack_send_udp(stack, &client->seen, &client->guest, NULL, DEFAULT_TTL, 0, payload,
			       size);
}

static void input_from_client(struct publish_udp_port *port, struct msghdr *msg, size_t size)
{
	struct endpoint from;
	struct client *client;

	if (endpoint_from_sockaddr(msg->msg_name, &from) < 0)
		return;
	client = find_by_client(port, &from);
	if (!client)
		client = client_new(port, &from);
	if (!client)
		return;
	memcpy(&client->client, msg->msg_name, msg->msg_namelen);
	client->client_size = msg->msg_namelen;
	keep_local_address(client, msg);
	client_active(client);
	send_to_guest(client, size);
}

static void on_socket(void *arg, int fd, unsigned ready)
{
	struct publish_udp_port *port = arg;

	(void)ready;
	for (int i = 0; i < DATAGRAMS_MAX; i++) {
		struct sockaddr_storage from;
		_Alignas(struct cmsghdr) uint8_t control[256];
		struct iovec iov = {.iov_base = port->udp->buffer + PROXY_HEADER_MAX,
				    .iov_len = DATAGRAM_MAX};
		struct msghdr msg = {
			.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t size = recvmsg(fd, &msg, MSG_DONTWAIT);

		if (size < 0 && (errno == EAGAIN || errno == EBADF))
			return;
		if (size >= 0)
			input_from_client(port, &msg, (size_t)size);
	}
}

/* ---- From guests ---- */

/* A guest's datagram to a client that it knows from a published port. */
static bool on_claim(void *arg, const struct stack_datagram *datagram)
{
	struct publish_udp *udp = arg;
	struct client *client;
	struct iovec iov = {.iov_base = (uint8_t *)(uintptr_t)datagram->payload,
			    .iov_len = datagram->size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (!udp->clients.count)
		return false;
	client = find_by_guest(udp, &datagram->src, &datagram->dst);
	if (!client ||
	    (client->hop.family && !stack_is_from(forwarder_stack(udp->forwarder), &client->hop,
						  datagram->port, &datagram->src_mac)))
		return false;
	client_active(client);
	msg.msg_name = &client->client;
	msg.msg_namelen = client->client_size;
	if (client->control_size) {
		msg.msg_control = client->control;
		msg.msg_controllen = client->control_size;
	}
	client->port->forward->traffic.to_host += datagram->size;
	if (sendmsg(client->port->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug("answer to a client of a published port: %s", strerror(errno));
	return true;
}

/* Nobody is there: the client is forgotten, and counted as one that was refused. It can't be told,
 * as only the kernel, or root, may send ICMP. */
static bool on_refusal(void *arg, const struct stack_refusal *refusal)
{
	struct publish_udp *udp = arg;
	struct client *client = find_by_guest(udp, &refusal->guest, &refusal->far);

	if (!client ||
	    (client->hop.family && !stack_is_from(forwarder_stack(udp->forwarder), &client->hop,
						  refusal->port, &refusal->src_mac)))
		return false;
	client->port->forward->refused++;
	client_free(client);
	return true;
}

/* ---- Life ---- */

int publish_udp_port_new(struct publish_udp *udp, int fd, struct forward *forward,
			 struct publish_udp_port **ret_port)
{
	struct publish_udp_port *port = calloc(1, sizeof(*port));
	int on = 1;
	int r;

	if (!port) {
		fd_close(&fd);
		return -ENOMEM;
	}
	port->udp = udp;
	port->fd = fd;
	port->forward = forward;
	/* One of the two, or both on a dual-stack socket. */
	setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	r = loop_fd_new(udp->loop, fd, LOOP_READ, on_socket, port, &port->watch);
	if (r < 0) {
		publish_udp_port_free(port);
		return r;
	}
	*ret_port = port;
	return 0;
}

void publish_udp_port_free(struct publish_udp_port *port)
{
	if (!port)
		return;
	list_for_each_safe (node, &port->udp->by_use) {
		struct client *client = container_of(node, struct client, link);

		if (client->port == port)
			client_free(client);
	}
	loop_fd_free(port->watch);
	fd_close(&port->fd);
	free(port);
}

int publish_udp_new(struct loop *loop, struct forwarder *forwarder, struct publish_udp **ret_udp)
{
	struct publish_udp *udp = calloc(1, sizeof(*udp));
	int r;

	if (!udp)
		return -ENOMEM;
	udp->loop = loop;
	udp->forwarder = forwarder;
	udp->key = hash_key_random();
	hmap_init(&udp->clients);
	hmap_init(&udp->guests);
	list_init(&udp->by_use);
	r = loop_timer_new(loop, on_timer, udp, &udp->timer);
	if (r < 0) {
		free(udp);
		return r;
	}
	flow_udp_set_claim(forwarder_udp(forwarder), on_claim, on_refusal, udp);
	*ret_udp = udp;
	return 0;
}

void publish_udp_free(struct publish_udp *udp)
{
	if (!udp)
		return;
	flow_udp_set_claim(forwarder_udp(udp->forwarder), NULL, NULL, NULL);
	while (!list_empty(&udp->by_use))
		client_free(container_of(list_first(&udp->by_use), struct client, link));
	loop_timer_free(udp->timer);
	hmap_destroy(&udp->clients);
	hmap_destroy(&udp->guests);
	free(udp);
}
