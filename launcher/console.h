/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial console: carries bytes between QEMU's serial port (one end of a socket pair) and our
 * standard input and output, or a file. A terminal is put into raw mode while the console lives, so
 * that Ctrl-C and all else reach the guest; Ctrl-A is then the escape to us (Ctrl-A h tells).
 * Nothing is buffered beyond one read in each direction: who doesn't read stops the other side.
 *
 * It survives QEMU's being started again: console_attach() takes the new one's end.
 */
#ifndef LAUNCHER_CONSOLE_H
#define LAUNCHER_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define CONSOLE_ESCAPE   0x01 /* Ctrl-A */
#define CONSOLE_TAIL_MAX 4096 /* bytes of the guest's output kept for messages */

struct console;

enum console_key {
	CONSOLE_KEY_POWER_OFF, /* Ctrl-A x */
	CONSOLE_KEY_KILL,      /* Ctrl-A k */
};

struct console_conf {
	int in_fd;   /* read and passed to the guest, borrowed; -1: no input */
	int out_fd;  /* gets what the guest writes, borrowed; -1: nowhere */
	bool is_pty; /* both are one pseudo-terminal's master, non-blocking: what its reader doesn't
			take is dropped, as there may be none */
	void (*key)(void *arg, enum console_key key);
	void *arg;
};

/* Puts in_fd into raw mode if it is a terminal that we are in the foreground of (and otherwise
 * reads it only if it isn't a terminal). Returns 0 or -errno. */
int console_new(struct loop *loop, const struct console_conf *conf, struct console **ret_console);
/* Takes `fd`, our end of the guest's serial port, in place of the one before. Returns 0 or -errno.
 */
int console_attach(struct console *console, int fd);
/* Writes out what is left in the guest's serial port; when QEMU has ended. */
void console_drain(struct console *console);
/* How many bytes the guest has written since the last attach. */
uint64_t console_guest_bytes(const struct console *console);
/* The end of what the guest has written, at most CONSOLE_TAIL_MAX bytes, as it came. Borrowed. */
const char *console_tail(const struct console *console, size_t *ret_size);
/* Logs the last lines of that, as errors; without what a terminal would not print. */
void console_log_tail(const struct console *console);
/* Gives the terminal back as it was. NULL is fine. */
void console_free(struct console *console);

/* The escape's state machine, pure: what one typed byte means. */
enum console_input {
	CONSOLE_INPUT_PASS, /* goes to the guest */
	CONSOLE_INPUT_EAT,  /* is part of an escape */
	CONSOLE_INPUT_POWER_OFF,
	CONSOLE_INPUT_KILL,
	CONSOLE_INPUT_HELP,
};
enum console_input console_decode(bool *escaped, unsigned char byte);

#endif
