/* SPDX-License-Identifier: MIT */
/*
 * uart.c - the first serial port of a PC, polled for output.
 *
 * Must not know who prints, and nothing of memory: it works before there are page tables.
 */
#include "uart.h"

#include <stddef.h>

#include "cpu.h"
#include "firmware.h"
#include "traps.h"

enum {
	COM1 = 0x3f8,
	COM_IRQ_ENABLE = COM1 + 1,
	COM_FIFO = COM1 + 2,
	COM_LINE = COM1 + 3,
	COM_MODEM = COM1 + 4,
	COM_STATUS = COM1 + 5,
	COM_ISA_LINE = 4,
	STATUS_RX = 1 << 0,
	STATUS_TX = 1 << 5,
};

void
uart_init(void)
{
	outb(COM_IRQ_ENABLE, 0);
	outb(COM_LINE, 0x80);       /* the divisor: 115200 baud */
	outb(COM1, 1);
	outb(COM_IRQ_ENABLE, 0);
	outb(COM_LINE, 0x03);       /* 8n1 */
	outb(COM_FIFO, 0x07);
	outb(COM_MODEM, 0x0b);      /* OUT2: interrupts reach the controller */
}

void
uart_put(char c)
{
	while ((inb(COM_STATUS) & STATUS_TX) == 0)
		cpu_pause();
	outb(COM1, (uint8_t)c);
}

bool
uart_pending(void)
{
	return (inb(COM_STATUS) & STATUS_RX) != 0;
}

int
uart_read(void)
{
	return uart_pending() ? inb(COM1) : -1;
}

void
uart_irq_enable(void)
{
	traps_set_handler(VECTOR_CONSOLE, NULL);
	traps_route(firmware()->io_apic, COM_ISA_LINE, VECTOR_CONSOLE, false);
	outb(COM_IRQ_ENABLE, 1);
}
