/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of netproxy-vm, for main.c's table: each gets argv from its own name on and returns
 * the exit status. */
#ifndef LAUNCHER_COMMANDS_H
#define LAUNCHER_COMMANDS_H

int command_run(int argc, char *const *argv);
int command_doctor(int argc, char *const *argv);

#endif
