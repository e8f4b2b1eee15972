/* SPDX-License-Identifier: MIT */
/* Keeps what libbpf says while a rung is tried, so that a refusal can be told in one line. */
#ifndef LIBBPF_LOG_H
#define LIBBPF_LOG_H

#include <stdbool.h>
#include <stddef.h>

void libbpf_log_install(bool verbose);
void libbpf_log_reset(void);
/* Writes why the last attempt failed with this errno: its name and libbpf's most telling line. */
void libbpf_log_reason(int error, char *text, size_t size);

#endif
