/* SPDX-License-Identifier: Apache-2.0 */
/* Making a tap interface (tun(4)) and setting it up. */
#ifndef AGENT_TAP_DEVICE_H
#define AGENT_TAP_DEVICE_H

#include "agent/tap.h"

#define TAP_ERROR_MAX 256

/* Makes the interface and brings it up. Returns 0 with an owned fd that doesn't block, or -errno
 * with a message. */
int tap_device_open(const struct tap_conf *conf, int *ret_fd, char error[static TAP_ERROR_MAX]);
/* Whether its cable is plugged in, so that whoever configures it notices. */
void tap_device_set_carrier(int fd, bool is_on);

#endif
