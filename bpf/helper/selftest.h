/* SPDX-License-Identifier: MIT */
/* Proof that an attached rung sees: a loopback connection of the helper with itself. */
#ifndef SELFTEST_H
#define SELFTEST_H

#include "stream.h"

/*
 * Returns 0 if both ends of a connection were counted under this process, EAGAIN with the reason
 * in text if no connection could be made (loopback down), else the errno that speaks against
 * the rung.
 */
int selftest(struct stream *stream, char *text);

#endif
