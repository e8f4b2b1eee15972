/* SPDX-License-Identifier: MIT */
#ifndef PROBE_H
#define PROBE_H

#include "helper.h"

/*
 * Tries every rung and feature and prints a JSON object for each on a line of its own. Returns the
 * exit code: EXIT_OK if tracing can work in some way.
 */
int probe(const struct options *options);

#endif
