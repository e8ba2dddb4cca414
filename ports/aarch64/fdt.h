/* SPDX-License-Identifier: MIT */
/*
 * fdt.h - the device tree that the machine leaves at the start of its RAM: memory and command line.
 */
#ifndef AARCH64_FDT_H
#define AARCH64_FDT_H

#include <stdbool.h>
#include <stdint.h>

/* Call memory for each range of RAM; *ret_command_line is NULL where there is none, and lies in the
 * tree. False: there is no device tree. */
bool fdt_read(const void *tree, void (*memory)(uint64_t start, uint64_t size),
	      const char **ret_command_line);

#endif
