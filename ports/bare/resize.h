/* SPDX-License-Identifier: MIT */
/*
 * resize.h - follows what a virtio-mem device asks for, a block at a time.
 */
#ifndef BARE_RESIZE_H
#define BARE_RESIZE_H

#include <stdbool.h>

/* Start, if there is a device. */
void resize_init(void);
/* Has the host asked for another size? Then plug or unplug as far as it goes. */
bool resize_poll(void);
/* Blocks were removed by hand: give the device its memory back. */
void resize_release(void);

#endif
