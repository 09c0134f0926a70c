/* SPDX-License-Identifier: Apache-2.0 */
/* An interface set up by rtnetlink; see netns_link.h. */
#include "netproxy/netns_link.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_SIZE 512
#define REPLY_SIZE   4096

/* A request that is being written: a header, a structure of its own, and attributes. */
struct request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[REQUEST_SIZE];
	};
};

static void begin(struct request *request, uint16_t type, uint16_t flags, const void *body,
		  size_t size)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
	memcpy(request->bytes + NLMSG_HDRLEN, body, size);
}

/* Attributes are few and small: all that are asked for below fit. */
static void add(struct request *request, uint16_t type, const void *data, size_t size)
{
	size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
	struct rtattr attribute = {.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(size)};

	if (at + RTA_SPACE(size) > sizeof(request->bytes))
		return;
	memcpy(request->bytes + at, &attribute, sizeof(attribute));
	memcpy(request->bytes + at + RTA_LENGTH(0), data, size);
	request->header.nlmsg_len = (uint32_t)(at + RTA_LENGTH(size));
}

static void add_address(struct request *request, uint16_t type, const struct addr *address)
{
	if (address->family == AF_INET6)
		add(request, type, &address->v6, sizeof(address->v6));
	else
		add(request, type, &address->v4, sizeof(address->v4));
}

/* The kernel's verdict on the request with that number. */
static int verdict(const uint8_t *reply, size_t size, uint32_t sequence)
{
	struct nlmsghdr header;
	int32_t error;

	if (size < NLMSG_HDRLEN + sizeof(error))
		return -EPROTO;
	memcpy(&header, reply, sizeof(header));
	if (header.nlmsg_seq != sequence || header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	memcpy(&error, reply + NLMSG_HDRLEN, sizeof(error));
	return error;
}

static int ask(struct netns_link *link, struct request *request)
{
	uint8_t reply[REPLY_SIZE];
	ssize_t got;

	request->header.nlmsg_seq = ++link->sequence;
	if (send(link->fd, request->bytes, request->header.nlmsg_len, 0) < 0)
		return -errno;
	do {
		got = recv(link->fd, reply, sizeof(reply), 0);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : verdict(reply, (size_t)got, link->sequence);
}

int netns_link_open(struct netns_link *link)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	*link = (struct netns_link){
		.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
	if (link->fd < 0)
		return -errno;
	if (connect(link->fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		int r = -errno;

		netns_link_close(link);
		return r;
	}
	return 0;
}

void netns_link_close(struct netns_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

int netns_link_index(const char *ifname, unsigned *ret_index)
{
	unsigned index = if_nametoindex(ifname);

	if (!index)
		return errno ? -errno : -ENODEV;
	*ret_index = index;
	return 0;
}

int netns_link_up(struct netns_link *link, unsigned index, const struct mac *mac, unsigned mtu)
{
	struct ifinfomsg info = {.ifi_index = (int)index};
	uint32_t mtu32 = mtu;
	struct request request;
	int r = 0;

	/* A MAC can be changed while the interface is down, everywhere. */
	if (mac || mtu) {
		begin(&request, RTM_NEWLINK, 0, &info, sizeof(info));
		if (mac)
			add(&request, IFLA_ADDRESS, mac->bytes, MAC_SIZE);
		if (mtu)
			add(&request, IFLA_MTU, &mtu32, sizeof(mtu32));
		r = ask(link, &request);
	}
	if (r < 0)
		return r;
	info.ifi_flags = IFF_UP;
	info.ifi_change = IFF_UP;
	begin(&request, RTM_NEWLINK, 0, &info, sizeof(info));
	return ask(link, &request);
}

int netns_link_address(struct netns_link *link, unsigned index, const struct addr *address,
		       const struct prefix *prefix)
{
	struct ifaddrmsg body = {
		.ifa_family = (uint8_t)address->family,
		.ifa_prefixlen = (uint8_t)prefix->length,
		.ifa_index = index,
	};
	struct request request;

	if (address->family == AF_INET6)
		body.ifa_flags = IFA_F_NODAD;
	begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));
	add_address(&request, IFA_LOCAL, address);
	add_address(&request, IFA_ADDRESS, address);
	if (address->family == AF_INET) {
		struct addr broadcast = addr_from_v4(addr_v4(&prefix->addr) |
						     ~prefix_mask4(prefix));

		add_address(&request, IFA_BROADCAST, &broadcast);
	}
	return ask(link, &request);
}

int netns_link_default_route(struct netns_link *link, unsigned index, const struct addr *router)
{
	struct rtmsg body = {
		.rtm_family = (uint8_t)router->family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	uint32_t interface = index;
	struct request request;

	begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));
	add_address(&request, RTA_GATEWAY, router);
	add(&request, RTA_OIF, &interface, sizeof(interface));
	return ask(link, &request);
}
