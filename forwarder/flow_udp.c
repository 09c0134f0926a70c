/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UDP flows; see flow_udp.h. A flow is in one of three lists by how long it may idle, each in the
 * order of the last activity, so the next one to end is at a head and one timer serves all.
 */
#include "forwarder/flow_udp.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/udp.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hmap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/wire.h"
#include "forwarder/icmp_relay.h"
#include "forwarder/route.h"

LOG_MODULE("udp");

#define RECV_BATCH 16
#define SEND_BATCH 64
/* What one sendmsg() with UDP_SEGMENT takes, and from how many datagrams on it is worth one. */
#define SEGMENTS_MAX       64
#define SEGMENTS_BYTES_MAX 65000
#define SEGMENTS_MIN       3
#define SEND_BATCH_BYTES   (256 * 1024)
#define RECV_BATCHES       4 /* in a row from one socket, before others get their turn */
#define DATAGRAM_MAX       65536
#define SOCKET_BUFFER      (1024 * 1024)
#define DNS_PORT           53
#define DEFAULT_TTL        64

enum flow_age { AGE_ONESHOT, AGE_UNANSWERED, AGE_ANSWERED, AGES };

static const uint64_t age_ms[AGES] = {
	[AGE_ONESHOT] = FLOW_UDP_ONESHOT_MS,
	[AGE_UNANSWERED] = FLOW_UDP_UNANSWERED_MS,
	[AGE_ANSWERED] = FLOW_UDP_ANSWERED_MS,
};

struct flow_udp {
	struct hmap_node node;
	struct list link; /* in table.by_age[age] */
	struct flow_udp_table *table;
	struct endpoint guest;
	enum flow_age age;
	uint64_t active_ms;
	unsigned port;
	int fd;
	struct loop_fd *watch;
	bool no_segment; /* the host's side can't take several datagrams in one */
	uint8_t ttl;     /* the socket's options as set */
	uint8_t tos;
};

/*
 * Datagrams of one flow, taken in one round of the loop and sent with one system call. They are
 * copies of the guest's IP packets: its buffers are gone by then, and an error message quotes the
 * packet.
 */
struct send_batch {
	struct flow_udp *flow; /* whose; NULL: empty */
	unsigned count;
	size_t used; /* bytes of `packets` */
	struct mmsghdr msgs[SEND_BATCH];
	struct iovec iov[SEND_BATCH];
	struct sockaddr_storage to[SEND_BATCH];
	struct {
		const uint8_t *ip;
		size_t ip_size;
	} quoted[SEND_BATCH];
	uint8_t *packets; /* SEND_BATCH_BYTES */
	struct loop_task task;
};

struct flow_udp_table {
	struct loop *loop;
	struct stack *stack;
	unsigned flows_max;
	struct hmap flows;
	struct hash_key key;
	struct list by_age[AGES];
	struct loop_timer *timer;
	flow_udp_claim_fn *claim;
	void *claim_arg;
	struct flow_udp_counters counters;
	uint8_t *buffers; /* RECV_BATCH of DATAGRAM_MAX */
	struct send_batch batch;
};

static uint64_t guest_hash(const struct flow_udp_table *table, const struct endpoint *guest)
{
	struct {
		uint32_t ip;
		uint32_t port;
	} key = {.ip = guest->addr.v4.s_addr, .port = guest->port};

	return hash_bytes(&table->key, &key, sizeof(key));
}

static struct flow_udp *flow_find(struct flow_udp_table *table, const struct endpoint *guest)
{
	struct hmap_node *node = hmap_find(&table->flows, guest_hash(table, guest));

	for (; node; node = hmap_find_next(node)) {
		struct flow_udp *flow = container_of(node, struct flow_udp, node);

		if (endpoint_equal(&flow->guest, guest))
			return flow;
	}
	return NULL;
}

static void batch_send(struct flow_udp_table *table);

static void flow_free(struct flow_udp *flow)
{
	struct flow_udp_table *table = flow->table;

	if (table->batch.flow == flow)
		batch_send(table);
	loop_fd_free(flow->watch);
	fd_close(&flow->fd);
	list_remove(&flow->link);
	hmap_remove(&table->flows, &flow->node);
	table->counters.flows--;
	free(flow);
}

/* ---- Time ---- */

/* The flow that ends next, and when. */
static struct flow_udp *next_to_end(struct flow_udp_table *table, uint64_t *ret_at_ms)
{
	struct flow_udp *next = NULL;

	for (int age = 0; age < AGES; age++) {
		struct flow_udp *flow;

		if (list_empty(&table->by_age[age]))
			continue;
		flow = container_of(list_first(&table->by_age[age]), struct flow_udp, link);
		if (!next || flow->active_ms + age_ms[age] < *ret_at_ms) {
			next = flow;
			*ret_at_ms = flow->active_ms + age_ms[age];
		}
	}
	return next;
}

static void on_timer(void *arg)
{
	struct flow_udp_table *table = arg;
	uint64_t now = loop_now_ms(table->loop);
	uint64_t at = 0;
	struct flow_udp *flow;

	while ((flow = next_to_end(table, &at)) && at <= now)
		flow_free(flow);
	if (flow)
		loop_timer_set(table->timer, at - now);
}

static void flow_active(struct flow_udp *flow, enum flow_age age)
{
	struct flow_udp_table *table = flow->table;

	flow->active_ms = loop_now_ms(table->loop);
	flow->age = age;
	list_remove(&flow->link);
	list_add_tail(&table->by_age[age], &flow->link);
	/* A timer that runs early looks again; one that is late would keep flows too long. */
	if (!loop_timer_pending(table->timer))
		loop_timer_set(table->timer, age_ms[AGE_ONESHOT]);
}

static void evict_one(struct flow_udp_table *table)
{
	struct flow_udp *oldest = NULL;

	for (int age = 0; age < AGES; age++) {
		struct flow_udp *flow;

		if (list_empty(&table->by_age[age]))
			continue;
		flow = container_of(list_first(&table->by_age[age]), struct flow_udp, link);
		if (!oldest || flow->active_ms < oldest->active_ms)
			oldest = flow;
	}
	if (oldest) {
		flow_free(oldest);
		table->counters.evicted++;
		log_limited(LOG_LEVEL_WARN,
			    "%u UDP flows are open, the most allowed: ended the one idle longest",
			    table->flows_max);
	}
}

/* ---- From the host ---- */

static void deliver(struct flow_udp *flow, const struct sockaddr_storage *from, const void *payload,
		    size_t size)
{
	struct flow_udp_table *table = flow->table;
	struct endpoint host, seen;

	if (endpoint_from_sockaddr((const struct sockaddr *)from, &host) < 0)
		return;
	seen = route_reverse(stack_conf(table->stack), &host);
	if (stack_send_udp(table->stack, &seen, &flow->guest, NULL, DEFAULT_TTL, 0, payload,
			   size) == 0)
		table->counters.bytes_to_guests += size;
	else
		table->counters.dropped++;
}

/* Reads one batch; returns how many came. */
static int receive_batch(struct flow_udp *flow)
{
	struct flow_udp_table *table = flow->table;
	struct sockaddr_storage from[RECV_BATCH];
	struct iovec iov[RECV_BATCH];
	struct mmsghdr msgs[RECV_BATCH] = {0};
	int count;

	for (int i = 0; i < RECV_BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = table->buffers + (size_t)i * DATAGRAM_MAX,
					.iov_len = DATAGRAM_MAX};
		msgs[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
						  .msg_namelen = sizeof(from[i]),
						  .msg_iov = &iov[i],
						  .msg_iovlen = 1};
	}
	count = recvmmsg(flow->fd, msgs, RECV_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		deliver(flow, &from[i], iov[i].iov_base, msgs[i].msg_len);
	return count;
}

static void on_socket(void *arg, int fd, unsigned ready)
{
	struct flow_udp *flow = arg;
	int total = 0;

	(void)ready;
	icmp_relay_errors(flow->table->stack, fd, &flow->guest, IPPROTO_UDP);
	for (int i = 0; i < RECV_BATCHES; i++) {
		int count = receive_batch(flow);

		total += count > 0 ? count : 0;
		if (count < RECV_BATCH)
			break;
	}
	if (total)
		flow_active(flow, flow->age == AGE_ONESHOT ? AGE_ONESHOT : AGE_ANSWERED);
}

/* ---- From the guest ---- */

static int open_socket(int *ret_fd)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int on = 1;
	int size = SOCKET_BUFFER;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	/* As much as the host allows; less only means that bursts are lost earlier. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ret_fd = fd;
	return 0;
}

static int flow_new(struct flow_udp_table *table, const struct endpoint *guest,
		    struct flow_udp **ret_flow)
{
	struct flow_udp *flow = calloc(1, sizeof(*flow));
	int r;

	if (!flow)
		return -ENOMEM;
	flow->table = table;
	flow->guest = *guest;
	list_init(&flow->link);
	r = open_socket(&flow->fd);
	if (r < 0) {
		free(flow);
		return r;
	}
	r = hmap_insert(&table->flows, &flow->node, guest_hash(table, guest));
	if (r < 0) {
		close(flow->fd);
		free(flow);
		return r;
	}
	table->counters.flows++;
	r = loop_fd_new(table->loop, flow->fd, LOOP_READ, on_socket, flow, &flow->watch);
	if (r < 0) {
		flow_free(flow);
		return r;
	}
	table->counters.total++;
	*ret_flow = flow;
	return 0;
}

/* The host's router must see the hop count and the priority that the guest meant; we are one hop.
 */
static void set_options(struct flow_udp *flow, const struct stack_datagram *datagram)
{
	int ttl = datagram->ttl > 1 ? datagram->ttl - 1 : 1;
	int tos = datagram->tos;

	if ((flow->ttl != ttl || flow->tos != tos) && flow->table->batch.flow == flow)
		batch_send(flow->table); /* with the options that they came with */
	if (flow->ttl != ttl && setsockopt(flow->fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)) == 0)
		flow->ttl = (uint8_t)ttl;
	if (flow->tos != tos && setsockopt(flow->fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)) == 0)
		flow->tos = (uint8_t)tos;
}

static void report_failure(struct flow_udp_table *table, const uint8_t *ip, size_t ip_size,
			   int error)
{
	enum stack_unreachable code;

	table->counters.dropped++;
	switch (error) {
	case ENETUNREACH:
	case ENETDOWN:
		code = STACK_UNREACH_NET;
		break;
	case EHOSTUNREACH:
		code = STACK_UNREACH_HOST;
		break;
	case EACCES:
	case EPERM:
		code = STACK_UNREACH_ADMIN;
		break;
	default:
		return;
	}
	stack_send_unreachable(table->stack, code, ip, ip_size);
}

/* How many datagrams from `from` on are alike: to one place, of one size, of which only the last
 * may be less. */
static unsigned like_datagrams(const struct send_batch *batch, unsigned from)
{
	size_t size = batch->iov[from].iov_len;
	size_t total = 0;
	unsigned at = from;

	while (at < batch->count && at - from < SEGMENTS_MAX) {
		size_t this_size = batch->iov[at].iov_len;

		if (!this_size || this_size > size || total + this_size > SEGMENTS_BYTES_MAX ||
		    memcmp(&batch->to[at], &batch->to[from],
			   batch->msgs[from].msg_hdr.msg_namelen) != 0)
			break;
		total += this_size;
		at++;
		if (this_size < size)
			break;
	}
	return at - from;
}

/* Sends `count` like datagrams as one, which the kernel (or a network card) cuts: one way through
 * the host's network for all of them (UDP_SEGMENT, udp(7)). Returns whether that went. */
static bool send_segmented(struct send_batch *batch, unsigned from, unsigned count)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = {0};
	struct msghdr msg = batch->msgs[from].msg_hdr;
	uint16_t size = (uint16_t)batch->iov[from].iov_len;
	struct cmsghdr *c;

	msg.msg_iovlen = count;
	msg.msg_control = control.bytes;
	msg.msg_controllen = sizeof(control.bytes);
	c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
	return sendmsg(batch->flow->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* Sends what the batch holds from `from` on, or the first part of it. Returns how many the socket
 * took before an error, which is in errno when it is none. */
static unsigned send_from(struct send_batch *batch, unsigned from)
{
	unsigned like = batch->flow->no_segment ? 0 : like_datagrams(batch, from);
	int sent;

	if (like >= SEGMENTS_MIN) {
		if (send_segmented(batch, from, like))
			return like;
		/* The path's MTU, a device or a route that can't: each by itself tells more. */
		if (errno == EIO || errno == EINVAL || errno == EMSGSIZE || errno == EOPNOTSUPP)
			batch->flow->no_segment = true;
	}
	sent = sendmmsg(batch->flow->fd, batch->msgs + from, batch->count - from,
			MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent > 0 ? (unsigned)sent : 0;
}

/* Sends the batch. A datagram that fails is tried once more: the error may have been that of an
 * earlier one, and is on the socket's error queue then. */
static void batch_send(struct flow_udp_table *table)
{
	struct send_batch *batch = &table->batch;
	bool retried = false;
	unsigned done = 0;

	if (!batch->flow)
		return;
	while (done < batch->count) {
		unsigned sent = send_from(batch, done);
		int error = errno;

		for (unsigned i = 0; i < sent; i++)
			table->counters.bytes_to_host += batch->iov[done + i].iov_len;
		done += sent;
		if (sent) {
			retried = false;
		} else if (error == EAGAIN) {
			/* The host's queue is full: what came with this datagram is lost, too. */
			table->counters.dropped += batch->count - done;
			break;
		} else if (!retried) {
			icmp_relay_errors(table->stack, batch->flow->fd, &batch->flow->guest,
					  IPPROTO_UDP);
			retried = true;
		} else {
			report_failure(table, batch->quoted[done].ip, batch->quoted[done].ip_size,
				       error);
			retried = false;
			done++;
		}
	}
	batch->flow = NULL;
	batch->count = 0;
	batch->used = 0;
	loop_task_cancel(table->loop, &batch->task);
}

static void on_batch_task(void *arg)
{
	batch_send(arg);
}

static void batch_add(struct flow_udp *flow, const struct stack_datagram *datagram,
		      const struct endpoint *host)
{
	struct flow_udp_table *table = flow->table;
	struct send_batch *batch = &table->batch;
	uint8_t *copy;
	unsigned i;

	if (batch->flow && (batch->flow != flow || batch->count == SEND_BATCH ||
			    batch->used + datagram->ip_size > SEND_BATCH_BYTES))
		batch_send(table);
	i = batch->count++;
	copy = batch->packets + batch->used;
	memcpy(copy, datagram->ip, datagram->ip_size);
	batch->used += datagram->ip_size;
	batch->flow = flow;
	batch->quoted[i].ip = copy;
	batch->quoted[i].ip_size = datagram->ip_size;
	batch->iov[i] = (struct iovec){.iov_base = copy + (datagram->payload - datagram->ip),
				       .iov_len = datagram->size};
	batch->msgs[i].msg_hdr = (struct msghdr){
		.msg_name = &batch->to[i],
		.msg_namelen = endpoint_to_sockaddr(host, &batch->to[i]),
		.msg_iov = &batch->iov[i],
		.msg_iovlen = 1,
	};
	loop_task_schedule(table->loop, &batch->task);
}

void flow_udp_send(struct flow_udp_table *table, const struct stack_datagram *datagram,
		   const struct endpoint *host)
{
	struct flow_udp *flow = flow_find(table, &datagram->src);
	int r;

	if (!flow) {
		if (table->flows.count >= table->flows_max)
			evict_one(table);
		r = flow_new(table, &datagram->src, &flow);
		if (r < 0) {
			table->counters.dropped++;
			log_limited(LOG_LEVEL_ERROR, "no socket for a guest's UDP: %s",
				    strerror(-r));
			return;
		}
		flow->age = host->port == DNS_PORT ? AGE_ONESHOT : AGE_UNANSWERED;
	}
	/* A flow for one query only is one as long as queries are all it sends. */
	if (flow->age == AGE_ONESHOT && host->port != DNS_PORT)
		flow->age = AGE_UNANSWERED;
	flow->port = datagram->port;
	flow_active(flow, flow->age);
	set_options(flow, datagram);
	batch_add(flow, datagram, host);
}

/* ---- The table ---- */

void flow_udp_set_claim(struct flow_udp_table *table, flow_udp_claim_fn *fn, void *arg)
{
	table->claim = fn;
	table->claim_arg = arg;
}

bool flow_udp_claimed(struct flow_udp_table *table, const struct stack_datagram *datagram)
{
	return table->claim && table->claim(table->claim_arg, datagram);
}

void flow_udp_port_gone(struct flow_udp_table *table, unsigned port)
{
	for (int age = 0; age < AGES; age++) {
		list_for_each_safe (node, &table->by_age[age]) {
			struct flow_udp *flow = container_of(node, struct flow_udp, link);

			if (flow->port == port)
				flow_free(flow);
		}
	}
}

struct flow_udp_counters flow_udp_counters(const struct flow_udp_table *table)
{
	return table->counters;
}

int flow_udp_table_new(struct loop *loop, struct stack *stack, unsigned flows_max,
		       struct flow_udp_table **ret_table)
{
	struct flow_udp_table *table = calloc(1, sizeof(*table));
	int r;

	if (!table)
		return -ENOMEM;
	table->loop = loop;
	table->stack = stack;
	table->flows_max = flows_max;
	table->key = hash_key_random();
	hmap_init(&table->flows);
	for (int age = 0; age < AGES; age++)
		list_init(&table->by_age[age]);
	table->buffers = malloc((size_t)RECV_BATCH * DATAGRAM_MAX);
	table->batch.packets = malloc(SEND_BATCH_BYTES);
	table->batch.task = (struct loop_task){.fn = on_batch_task, .arg = table};
	r = table->buffers && table->batch.packets
		    ? loop_timer_new(loop, on_timer, table, &table->timer)
		    : -ENOMEM;
	if (r < 0) {
		flow_udp_table_free(table);
		return r;
	}
	*ret_table = table;
	return 0;
}

void flow_udp_table_free(struct flow_udp_table *table)
{
	if (!table)
		return;
	for (int age = 0; age < AGES; age++) {
		while (!list_empty(&table->by_age[age]))
			flow_free(container_of(list_first(&table->by_age[age]), struct flow_udp,
					       link));
	}
	loop_timer_free(table->timer);
	hmap_destroy(&table->flows);
	loop_task_cancel(table->loop, &table->batch.task);
	free(table->batch.packets);
	free(table->buffers);
	free(table);
}
