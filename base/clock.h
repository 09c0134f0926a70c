/* SPDX-License-Identifier: Apache-2.0 */
/* The monotonic clock. Modules that decide by time take `now_ms` as an argument; only the event
 * loop's callers read the clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds and microseconds since some fixed point; never goes back. */
uint64_t clock_ms(void);
uint64_t clock_us(void);

#endif
