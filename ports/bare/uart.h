/* SPDX-License-Identifier: MIT */
/*
 * uart.h - the machine's serial port, a byte at a time; each machine has its own uart.c.
 */
#ifndef BARE_UART_H
#define BARE_UART_H

#include <stdbool.h>

void uart_init(void);
/* Send one byte; waits until the port takes it. */
void uart_put(char c);
/* The next byte that came, or -1. Never waits. */
int uart_read(void);
/* Is there one? */
bool uart_pending(void);
/* Raise an interrupt for every byte that comes, as VECTOR_CONSOLE (traps.h). */
void uart_irq_enable(void);

#endif
