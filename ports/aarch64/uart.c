/* SPDX-License-Identifier: MIT */
/*
 * uart.c - the PL011 of QEMU's virt machine, polled for output.
 *
 * Must not know who prints, and nothing of memory: it is used at the address where the port maps
 * devices, which the boot tables know, too.
 */
#include "uart.h"

#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "layout.h"
#include "traps.h"

enum {
	REG_DATA = 0x00 / 4,
	REG_FLAGS = 0x18 / 4,
	REG_LINE = 0x2c / 4,
	REG_CONTROL = 0x30 / 4,
	REG_IRQ_MASK = 0x38 / 4,
	FLAG_RX_EMPTY = 1 << 4,
	FLAG_TX_FULL = 1 << 5,
	LINE_8N1_FIFO_OFF = 3 << 5,
	CONTROL_ON = 0x301,
	IRQ_RX = 1 << 4,
};

static volatile uint32_t *const uart = (volatile uint32_t *)(MMIO_MAP + VIRT_UART);

void
uart_init(void)
{
	uart[REG_CONTROL] = 0;
	uart[REG_IRQ_MASK] = 0;
	uart[REG_LINE] = LINE_8N1_FIFO_OFF;
	uart[REG_CONTROL] = CONTROL_ON;
}

void
uart_put(char c)
{
	while ((uart[REG_FLAGS] & FLAG_TX_FULL) != 0)
		cpu_pause();
	uart[REG_DATA] = (uint8_t)c;
}

bool
uart_pending(void)
{
	return (uart[REG_FLAGS] & FLAG_RX_EMPTY) == 0;
}

int
uart_read(void)
{
	return uart_pending() ? (int)(uart[REG_DATA] & 0xff) : -1;
}

void
uart_irq_enable(void)
{
	traps_set_handler(VECTOR_CONSOLE, NULL);
	/* The handler reads nothing, the main loop everything: the line's rise is the event. */
	traps_route(VECTOR_CONSOLE, false);
	uart[REG_IRQ_MASK] = IRQ_RX;
}
