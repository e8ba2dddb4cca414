/* SPDX-License-Identifier: MIT */
/*
 * fw_cfg.h - the machine's configuration device, where its ACPI tables are.
 */
#ifndef AARCH64_FW_CFG_H
#define AARCH64_FW_CFG_H

/* Fetch the tables and read what acpi.h has. Call once, when there are page tables. */
void fw_cfg_read_tables(void);

#endif
