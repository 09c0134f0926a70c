/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the options share: a function for each flag in the table of options.c. They
 * take a struct run_options and behave as struct flag's set() says. */
#ifndef LAUNCHER_OPTIONS_PRIVATE_H
#define LAUNCHER_OPTIONS_PRIVATE_H

#include "launcher/options.h"

typedef int option_set_fn(void *target, const char *value, struct problem *problem);

/* options_boot.c */
option_set_fn set_kernel, set_initrd, set_cmdline, set_disk, set_squashfs, set_iso, set_fw,
	set_ignition, set_data_file, set_ssh_key, set_uefi, set_data, set_data_format;
/* options_net.c */
option_set_fn set_net_device, set_publish, set_mac, set_networking, set_ip, set_vsock_ports;
/* options_devices.c */
option_set_fn set_accel, set_name, set_state, set_qemu, set_netproxy, set_stop_timeout,
	set_no_reboot, set_log_level, set_mem, set_balloon, set_cpus, set_arch, set_volume,
	set_display, set_headless, set_vnc, set_console, set_detached;

/* Each checks a part against this host and completes it. They return 0, or -errno with the problem
 * set. check_boot.c, check_net.c, check_devices.c */
int options_check_boot(struct run_options *options, struct problem *problem);
int options_check_net(struct run_options *options, struct problem *problem);
int options_check_devices(struct run_options *options, struct problem *problem);

#endif
