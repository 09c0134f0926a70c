/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published ports and the rest of the network: those of the configuration, those that outlive a
 * restart (a section of the state file), what guests may publish, who a guest's name is; and when a
 * guest has gone for good, so that what it published goes too.
 *
 * A guest's forwards stay while its link drops and returns, and over a restart of netproxy. They go
 * when its address is released or expires, when its vsock driver begins anew (it has rebooted: what
 * asked for them is gone), and when its VMM has left the vsock device for PUBLISHED_GRACE_MS.
 */
#ifndef NETPROXY_PUBLISHED_H
#define NETPROXY_PUBLISHED_H

#include "base/loop.h"
#include "forwarder/publish.h"
#include "netproxy/options.h"
#include "netproxy/services.h"
#include "netproxy/state_file.h"
#include "virtio/vsock.h"

/* A VMM may take the device away and give it back: to save the VM's state, for example. */
#define PUBLISHED_GRACE_MS 30000
/* After a restart a VMM may need longer to find us. */
#define PUBLISHED_RESTORED_GRACE_MS 300000
/* A restored forward whose port or address isn't free is tried for that long. */
#define PUBLISHED_RETRY_MS      5000
#define PUBLISHED_RETRIES_MAX   60
#define PUBLISHED_STATE_SECTION "forwards"

struct published;

/* Publishes what the options and the state file say. Returns 0 with an owned object on `publish`,
 * `services` and `state`, which must outlive it, or -errno with a message. */
int published_new(struct loop *loop, const struct options *options, struct publish *publish,
		  struct services *services, struct state_file *state,
		  char error[static OPTIONS_ERROR_MAX], struct published **ret_published);
/* Writes the state. The forwards stay: they are `publish`'s. */
void published_free(struct published *published);

/* What happened to a guest's vsock device. */
void published_guest_event(struct published *published, uint32_t guest_id,
			   enum vsock_guest_event event);

#endif
