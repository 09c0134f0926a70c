/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports of the configuration and of the last run, and the end of guests; see published.h.
 */
#include "netproxy/published.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/forward_request.h"
#include "api/port_holder.h"
#include "base/json.h"
#include "base/log.h"
#include "forwarder/publish_spec.h"

LOG_MODULE("publish");

struct guest {
	struct published *published;
	struct loop_timer *grace; /* runs while it may have gone; NULL: never did */
};

struct published {
	struct loop *loop;
	struct publish *publish;
	struct services *services;
	struct state_file *state;
	struct publish_watcher watcher;
	struct guest guests[OPTIONS_VSOCKS_MAX]; /* by id - 1 */
	uint32_t guest_count;
	struct prefix subnet;
	struct publish_spec *waiting; /* owned: restored, and not to be had yet */
	unsigned waiting_count;
	unsigned retries;
	struct loop_timer *retry;
};

/* ---- Configuration ---- */

static const char *advice(int r)
{
	switch (-r) {
	case EACCES:
		return ": ports below net.ipv4.ip_unprivileged_port_start need a privilege";
	case EADDRINUSE:
		return ": something on this host listens there ('ss -lntup' shows what)";
	case ENOTSOCK:
		return ": there is a file of that name, and it is not a socket";
	case EEXIST:
		return ": it is published twice";
	default:
		return "";
	}
}

static void explain(const struct publish_spec *spec, const struct publish_failure *failure, int r,
		    char error[static OPTIONS_ERROR_MAX])
{
	char holder[PORT_HOLDER_TEXT_MAX];

	if (r == -EADDRINUSE && spec->protocol != PUBLISH_UNIX &&
	    port_holder_find(&spec->local, spec->protocol == PUBLISH_UDP, holder) == 0)
		snprintf(error, OPTIONS_ERROR_MAX, "--publish %s: %s: %s listens there",
			 spec->local_text, strerror(-r), holder);
	else
		snprintf(error, OPTIONS_ERROR_MAX, "--publish %s: %s%s", spec->local_text,
			 failure->why[0] ? failure->why : strerror(-r), advice(r));
}

static int publish_option(struct published *published, const struct publish_option *option,
			  char error[static OPTIONS_ERROR_MAX])
{
	struct publish_failure failure = {0};
	struct publish_spec *specs;
	unsigned count;
	int r = publish_expand(&option->spec, option->ports, option->tcp_and_udp, &specs, &count,
			       failure.why);

	if (r < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "--publish: %s", failure.why);
		return r;
	}
	r = publish_add(published->publish, specs, count, 0, &failure);
	if (r < 0)
		explain(&specs[failure.index], &failure, r, error);
	free(specs);
	return r;
}

static int publish_options(struct published *published, const struct options *options,
			   char error[static OPTIONS_ERROR_MAX])
{
	int r = 0;

	if (options->guest_publish_given)
		r = publish_set_guest_rules(published->publish, options->guest_publish,
					    options->guest_publish_count);
	for (unsigned i = 0; r == 0 && i < options->publish_count; i++)
		r = publish_option(published, &options->publish[i], error);
	return r;
}

/* ---- State: {"owner":"guest","guest":1,"forward":{...}} ---- */

static bool is_kept(const struct publish_spec *spec)
{
	return spec->owner.kind != PUBLISH_OWNER_CONFIG && !spec->owner.lease;
}

static void save_spec(struct json_object *array, const struct publish_spec *spec)
{
	struct json_object *entry = json_object_new_object();

	json_object_object_add(entry, "owner",
			       json_object_new_string(publish_owner_kind_text(spec->owner.kind)));
	if (spec->owner.kind == PUBLISH_OWNER_GUEST)
		json_object_object_add(entry, "guest", json_object_new_int64(spec->owner.id));
	json_object_object_add(entry, "forward", forward_request_encode(FORWARD_REQUEST_V1, spec));
	json_object_array_add(array, entry);
}

static void save_forward(void *arg, const struct publish_info *info)
{
	if (is_kept(info->spec))
		save_spec(arg, info->spec);
}

static struct json_object *save(void *arg)
{
	struct published *published = arg;
	struct json_object *array = json_object_new_array();

	publish_for_each(published->publish, save_forward, array);
	for (unsigned i = 0; i < published->waiting_count; i++)
		save_spec(array, &published->waiting[i]);
	return array;
}

/* A vsock device that there is, or an address: see guests.h. 0 is the host. */
static bool is_guest(const struct published *published, uint32_t id)
{
	struct addr address = addr_from_v4(id);

	return id <= published->guest_count || prefix_contains(&published->subnet, &address);
}

static int read_entry(const struct published *published, struct json_object *entry,
		      struct publish_spec *ret_spec, char why[static FORWARD_REQUEST_ERROR_MAX])
{
	static const char *const keys[] = {"owner", "guest", "forward", NULL};
	struct json_reader reader = json_reader(entry, "forwards");
	const char *owner = json_get_string(&reader, "owner", "");
	int64_t guest = json_get_int(&reader, "guest", 1, UINT32_MAX, 0);
	struct json_object *object = json_get_object(&reader, "forward");
	struct forward_request request;
	int r;

	json_only_keys(&reader, keys);
	if (json_ok(&reader) && strcmp(owner, "host") != 0 &&
	    (strcmp(owner, "guest") != 0 || guest == 0))
		json_fail(&reader, "the owner \"%.40s\" makes no sense", owner);
	if (!json_ok(&reader)) {
		snprintf(why, FORWARD_REQUEST_ERROR_MAX, "%s", reader.error);
		return -EINVAL;
	}
	r = forward_request_read(FORWARD_REQUEST_V1, object, "forward", &request, why);
	if (r < 0)
		return r;
	if (request.ports != 1 || request.tcp_and_udp || request.connection_lease ||
	    (request.spec.remote.addr.family == AF_UNSPEC && !request.spec.guest[0]) ||
	    !is_guest(published, (uint32_t)guest)) {
		snprintf(why, FORWARD_REQUEST_ERROR_MAX, "%s is no forward that could be kept",
			 request.spec.local_text);
		return -EINVAL;
	}
	*ret_spec = request.spec;
	ret_spec->owner.kind = guest ? PUBLISH_OWNER_GUEST : PUBLISH_OWNER_HOST;
	ret_spec->owner.id = (uint32_t)guest;
	return 0;
}

/* Whether time can heal it: the port is taken, or the host has not got its address yet. */
static bool may_heal(int r)
{
	return r == -EADDRINUSE || r == -EADDRNOTAVAIL || r == -EMFILE || r == -ENFILE;
}

static void restore(struct published *published, struct publish_spec *spec)
{
	char text[PUBLISH_TEXT_MAX];
	int r = publish_add(published->publish, spec, 1, PUBLISH_AGAIN_OK, NULL);

	if (r == 0)
		return;
	memcpy(text, spec->local_text, sizeof(text));
	log_warn("%s %s, published before the restart, can't be now: %s%s",
		 publish_protocol_text(spec->protocol), text, strerror(-r),
		 may_heal(r) ? ": trying again" : advice(r));
	if (may_heal(r))
		published->waiting[published->waiting_count++] = *spec;
}

static int load(void *arg, struct json_object *section, char error[static STATE_ERROR_MAX])
{
	struct published *published = arg;
	size_t count;
	int result = 0;

	if (!json_object_is_type(section, json_type_array) ||
	    json_object_array_length(section) > PUBLISH_FORWARDS_MAX) {
		snprintf(error, STATE_ERROR_MAX,
			 "\"" PUBLISHED_STATE_SECTION "\": expected an array of forwards");
		return -EINVAL;
	}
	count = json_object_array_length(section);
	published->waiting = calloc(count + 1, sizeof(*published->waiting));
	if (!published->waiting)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		char why[FORWARD_REQUEST_ERROR_MAX];
		struct publish_spec spec;
		int r = read_entry(published, json_object_array_get_idx(section, i), &spec, why);

		if (r == 0) {
			restore(published, &spec);
		} else if (result == 0) {
			snprintf(error, STATE_ERROR_MAX, "\"" PUBLISHED_STATE_SECTION "\": %.400s",
				 why);
			result = r;
		}
	}
	if (published->waiting_count)
		loop_timer_set(published->retry, PUBLISHED_RETRY_MS);
	return result;
}

static void on_retry(void *arg)
{
	struct published *published = arg;
	unsigned count = published->waiting_count;
	bool last = ++published->retries >= PUBLISHED_RETRIES_MAX;

	published->waiting_count = 0;
	for (unsigned i = 0; i < count; i++) {
		struct publish_spec spec = published->waiting[i];
		int r = publish_add(published->publish, &spec, 1, PUBLISH_AGAIN_OK, NULL);

		if (r == 0)
			continue;
		if (may_heal(r) && !last)
			published->waiting[published->waiting_count++] = spec;
		else
			log_error("%s %s is published no more: %s",
				  publish_protocol_text(spec.protocol), spec.local_text,
				  strerror(-r));
	}
	if (published->waiting_count)
		loop_timer_set(published->retry, PUBLISHED_RETRY_MS);
	if (published->waiting_count != count)
		state_file_changed(published->state);
}

static void on_change(void *arg, const struct publish_info *info, bool added)
{
	struct published *published = arg;

	(void)added;
	if (is_kept(info->spec))
		state_file_changed(published->state);
}

/* ---- Guests that go ---- */

static uint32_t id_of(const struct guest *guest)
{
	return (uint32_t)(guest - guest->published->guests) + 1;
}

static void end_forwards(struct guest *guest, const char *why)
{
	const struct publish_owner owner = {.kind = PUBLISH_OWNER_GUEST, .id = id_of(guest)};
	unsigned count = publish_remove_owner(guest->published->publish, &owner);

	if (count)
		log_info("guest %u %s: %u of its ports are no longer published", owner.id, why,
			 count);
}

static void on_grace_over(void *arg)
{
	end_forwards(arg, "has gone");
}

static void start_grace(struct guest *guest, uint64_t grace_ms)
{
	if (!guest->grace &&
	    loop_timer_new(guest->published->loop, on_grace_over, guest, &guest->grace) < 0) {
		end_forwards(guest, "has gone");
		return;
	}
	loop_timer_set(guest->grace, grace_ms);
}

void published_guest_event(struct published *published, uint32_t guest_id,
			   enum vsock_guest_event event)
{
	struct guest *guest;

	if (guest_id < 1 || guest_id > published->guest_count)
		return;
	guest = &published->guests[guest_id - 1];
	switch (event) {
	case VSOCK_GUEST_DETACHED:
		start_grace(guest, PUBLISHED_GRACE_MS);
		break;
	case VSOCK_GUEST_ATTACHED:
		if (guest->grace)
			loop_timer_cancel(guest->grace);
		break;
	case VSOCK_GUEST_RESET:
		end_forwards(guest, "has started anew");
		break;
	}
}

static void wait_for_restored(void *arg, const struct publish_info *info)
{
	struct published *published = arg;
	const struct publish_owner *owner = &info->spec->owner;

	if (owner->kind == PUBLISH_OWNER_GUEST && owner->id <= published->guest_count)
		start_grace(&published->guests[owner->id - 1], PUBLISHED_RESTORED_GRACE_MS);
}

/* ---- Life ---- */

static int resolve(void *arg, const char *guest, sa_family_t family, struct addr *ret)
{
	struct published *published = arg;

	return services_guest_addr(published->services, guest, family, ret);
}

int published_new(struct loop *loop, const struct options *options, struct publish *publish,
		  struct services *services, struct state_file *state,
		  char error[static OPTIONS_ERROR_MAX], struct published **ret_published)
{
	struct published *published = calloc(1, sizeof(*published));
	int r;

	if (!published)
		return -ENOMEM;
	published->loop = loop;
	published->publish = publish;
	published->services = services;
	published->state = state;
	published->guest_count = options->vsock_count;
	published->subnet = options->subnet;
	for (uint32_t i = 0; i < published->guest_count; i++)
		published->guests[i].published = published;
	published->watcher = (struct publish_watcher){.fn = on_change, .arg = published};
	publish_set_resolver(publish, resolve, published);
	publish_watch(publish, &published->watcher);
	error[0] = '\0';
	r = loop_timer_new(loop, on_retry, published, &published->retry);
	if (r == 0)
		r = publish_options(published, options, error);
	if (r == 0)
		r = state_file_add_section(state,
					   &(struct state_section){.name = PUBLISHED_STATE_SECTION,
								   .save = save,
								   .load = load,
								   .arg = published});
	if (r < 0) {
		if (!error[0])
			snprintf(error, OPTIONS_ERROR_MAX, "published ports: %s", strerror(-r));
		published_free(published);
		return r;
	}
	publish_for_each(publish, wait_for_restored, published);
	*ret_published = published;
	return 0;
}

void published_free(struct published *published)
{
	if (!published)
		return;
	state_file_remove_section(published->state, PUBLISHED_STATE_SECTION);
	publish_unwatch(&published->watcher);
	publish_set_resolver(published->publish, NULL, NULL);
	for (uint32_t i = 0; i < published->guest_count; i++)
		loop_timer_free(published->guests[i].grace);
	loop_timer_free(published->retry);
	free(published->waiting);
	free(published);
}
