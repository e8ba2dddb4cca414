/* SPDX-License-Identifier: MIT */
/*
 * boot_blocks.h - memory that the machine had at boot, handed to the engine as boot blocks.
 */
#ifndef BARE_BOOT_BLOCKS_H
#define BARE_BOOT_BLOCKS_H

/* boot=SIZE on the command line: that much, in whole blocks; without it nothing. Says what came. */
void boot_blocks_init(void);
/* Blocks were removed: give those of ours that are gone back to boot memory. */
void boot_blocks_release(void);

#endif
