/* SPDX-License-Identifier: Apache-2.0 */
/* What a program is started with and didn't ask for: whoever started it may have left descriptors
 * open, standard ones closed, signals blocked or ignored. */
#ifndef BASE_INHERITED_H
#define BASE_INHERITED_H

/* To be called first in main(). Afterwards descriptors 0 to 2 are open (on /dev/null if they were
 * not), so that no socket gets such a number; all others are close-on-exec, so that programs
 * started from here don't get them; no signal is blocked; SIGCHLD has its default, without which
 * nobody learns how a child ended; and SIGPIPE is ignored. */
void inherited_drop(void);

#endif
