/* SPDX-License-Identifier: Apache-2.0 */
/* Opens what --link and --vsock name; see links.h. */
#include "netproxy/links.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netstack/link_listener.h"
#include "netstack/link_tap.h"
#include "netstack/link_vhost.h"
#include "virtio/vsock.h"

struct links {
	struct link_listener *listeners[OPTIONS_LINKS_MAX];
	unsigned listener_count;
	struct link_vhost_listener *vhosts[OPTIONS_LINKS_MAX];
	unsigned vhost_count;
	struct vsock_guest {
		struct links *links;
		struct vsock_device *device;
	} vsocks[OPTIONS_VSOCKS_MAX];
	unsigned vsock_count;
	links_guest_fn *on_guest;
	void *arg;
};

/* What to do about an error, where it isn't obvious. */
static const char *advice(int r)
{
	switch (-r) {
	case EADDRINUSE:
		return ": something answers there already; is another netproxy running?";
	case EEXIST:
		return ": there is something there that is no socket; choose another path or remove it";
	case ENAMETOOLONG:
		return ": a socket's path has at most 107 bytes";
	case ENOENT:
		return ": its directory must exist";
	default:
		return "";
	}
}

static int complain(char error[static OPTIONS_ERROR_MAX], const char *what, const char *where,
		    int r)
{
	snprintf(error, OPTIONS_ERROR_MAX, "%s %.300s: %s%s", what, where, strerror(-r), advice(r));
	return r;
}

static int open_tap(struct loop *loop, const struct link_option *option, struct nswitch *sw,
		    char error[static OPTIONS_ERROR_MAX])
{
	const struct link_sink *sink = switch_sink(sw);
	const char *why = "";
	struct link *link;
	int r = link_tap_open(loop, option->path, option->netns[0] ? option->netns : NULL, &link,
			      &why);

	if (r < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "--link tap:%.50s%s%.200s: %.150s: %s%s",
			 option->path, option->netns[0] ? ",netns=" : "", option->netns, why,
			 strerror(-r),
			 r == -EPERM ? ": a tap needs CAP_NET_ADMIN in its network namespace" : "");
		return r;
	}
	sink->attached(sink->arg, link);
	return 0;
}

static int open_link(struct links *links, struct loop *loop, const struct link_option *option,
		     struct nswitch *sw, char error[static OPTIONS_ERROR_MAX])
{
	struct link_listener **listener = &links->listeners[links->listener_count];
	char at[ENDPOINT_TEXT_MAX];
	int r = 0;

	switch (option->kind) {
	case LINK_OPTION_QEMU_UNIX:
		r = link_listen_qemu_unix(loop, option->path, switch_sink(sw), listener);
		if (r < 0)
			return complain(error, "--link qemu:", option->path, r);
		links->listener_count++;
		return 0;
	case LINK_OPTION_QEMU_TCP:
		r = link_listen_qemu_tcp(loop, &option->at, switch_sink(sw), listener);
		if (r < 0)
			return complain(error, "--link qemu:tcp:", endpoint_format(&option->at, at),
					r);
		links->listener_count++;
		return 0;
	case LINK_OPTION_VHOST:
		r = link_vhost_listen(loop, option->path, switch_sink(sw),
				      &links->vhosts[links->vhost_count]);
		if (r < 0)
			return complain(error, "--link vhost:", option->path, r);
		links->vhost_count++;
		return 0;
	case LINK_OPTION_TAP:
		return open_tap(loop, option, sw, error);
	}
	return -EINVAL;
}

static void on_vsock_event(void *arg, enum vsock_guest_event event)
{
	struct vsock_guest *guest = arg;
	struct links *links = guest->links;

	links->on_guest(links->arg, (uint32_t)(guest - links->vsocks) + 1, event);
}

static int open_vsock(struct links *links, struct loop *loop, const struct vsock_option *option,
		      char error[static OPTIONS_ERROR_MAX])
{
	struct vsock_guest *guest = &links->vsocks[links->vsock_count];
	struct vsock_conf conf = {
		.socket_path = option->path,
		.guest_cid = option->cid,
		.on_guest = on_vsock_event,
		.on_guest_arg = guest,
	};
	char why[256] = "";
	int r = vsock_device_new(loop, &conf, &guest->device, why, sizeof(why));

	if (r < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "--vsock %.108s: %s", option->path,
			 why[0] ? why : strerror(-r));
		return r;
	}
	guest->links = links;
	links->vsock_count++;
	return 0;
}

int links_new(struct loop *loop, const struct options *options, struct nswitch *sw,
	      links_guest_fn *on_guest, void *arg, char error[static OPTIONS_ERROR_MAX],
	      struct links **ret_links)
{
	struct links *links = calloc(1, sizeof(*links));
	int r = 0;

	if (!links) {
		snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	links->on_guest = on_guest;
	links->arg = arg;
	for (unsigned i = 0; r == 0 && i < options->link_count; i++)
		r = open_link(links, loop, &options->links[i], sw, error);
	for (unsigned i = 0; r == 0 && i < options->vsock_count; i++)
		r = open_vsock(links, loop, &options->vsocks[i], error);
	if (r < 0) {
		links_free(links);
		return r;
	}
	*ret_links = links;
	return 0;
}

void links_free(struct links *links)
{
	if (!links)
		return;
	for (unsigned i = 0; i < links->listener_count; i++)
		link_listener_free(links->listeners[i]);
	for (unsigned i = 0; i < links->vhost_count; i++)
		link_vhost_listener_free(links->vhosts[i]);
	for (unsigned i = 0; i < links->vsock_count; i++)
		vsock_device_free(links->vsocks[i].device);
	free(links);
}
