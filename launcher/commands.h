/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of netproxy-vm, for main.c's table: each gets argv from its own name on and returns
 * the exit status. */
#ifndef LAUNCHER_COMMANDS_H
#define LAUNCHER_COMMANDS_H

typedef int command_fn(int argc, char *const *argv);

command_fn command_run, command_image, command_doctor;
/* Managed machines: cmd_*.c */
command_fn command_init, command_set, command_rm, command_list, command_inspect, command_status,
	command_validate, command_cmdline;
command_fn command_start, command_stop, command_restart, command_kill, command_wait, command_pause,
	command_resume;
command_fn command_console, command_ssh, command_cp, command_vsock;
command_fn command_disk, command_screenshot;
command_fn command_snapshot, command_balloon, command_port, command_events, command_logs;

#endif
