/* SPDX-License-Identifier: MIT */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "helper.h"

/* Prints what is wrong and returns false on arguments that make no sense. */
bool options_parse(int argc, char **argv, struct options *options);

#endif
