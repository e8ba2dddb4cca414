/* SPDX-License-Identifier: MIT */
/*
 * main.c - brings the machine up in order, then serves events and the console until told to quit.
 *
 * Command line: hotplug=poll|irq, cpus=N, block=SIZE, section=SIZE, large=on|off,
 * memmap=self|auto|external, boot=SIZE, figures=exact, echo, break=shootdown, and the knobs of
 * settings.c.
 */
#include "acpi.h"
#include "boot_blocks.h"
#include "bootmem.h"
#include "console.h"
#include "cpu.h"
#include "error.h"
#include "hotplug.h"
#include "machine.h"
#include "mmu.h"
#include "monitor.h"
#include "pager.h"
#include "port.h"
#include "resize.h"
#include "settings.h"
#include "smp.h"
#include "string.h"
#include "uart.h"

void kernel_main(uint64_t boot_argument);       /* boot.S */

static int
start_engine(void)
{
	int error = port_init();

	if (error == 0)
		error = pager_init(port_instance());
	if (error == 0)
		error = monitor_init();
	if (error == 0)
		settings_init();
	return error;
}

/* Halt until something happens. Looked at with interrupts off, so that none is lost in between. */
static void
wait_for_event(void)
{
	irq_save();
	if (!hotplug_pending() && !uart_pending())
		irq_wait();
	irq_enable();
}

static void
serve(void)
{
	static char line[256];
	bool echo = bootmem_option("echo", NULL) != NULL;
	bool going = true;

	say("ready\n");
	while (going) {
		bool busy = hotplug_poll();
		busy |= resize_poll();
		if (console_line(line, sizeof(line), echo)) {
			going = monitor_command(line);
			busy = true;
		}
		if (!busy)
			wait_for_event();
	}
}

/* QEMU may hang when a command reaches its monitor while the machine is going off, so whoever
 * drives us says when it is done: one more line. */
static void
finish(void)
{
	static char line[16];

	say("bare: %s\n", monitor_failed() ? "FAIL" : "PASS");
	while (!console_line(line, sizeof(line), false))
		cpu_pause();
	machine_exit(monitor_failed() ? MACHINE_EXIT_FAIL : MACHINE_EXIT_PASS);
}

void
kernel_main(uint64_t boot_argument)
{
	machine_bring_up(boot_argument);
	smp_start((unsigned)bootmem_option_number("cpus", SMP_CPUS_MAX));
	uart_irq_enable();
	if (text_equal(bootmem_option("break", ""), "shootdown"))
		smp_break_shootdown();
	irq_enable();
	int error = start_engine();
	if (error != 0) {
		say("bare: FAIL: %s\n", error_text(error));
		machine_exit(MACHINE_EXIT_FAIL);
	}
	say("memplug: %u cpus, %u nodes, blocks of %luM up to 0x%lx, footprint %luK, "
	    "page tables %luK\n",
	    smp_nr_cpus(), acpi_get()->nr_nodes, port_block_bytes() >> 20,
	    mhp_get_geometry(port_instance())->nr_blocks * port_block_bytes(),
	    port_footprint_bytes() >> 10, mmu_nr_tables() * PAGE_BYTES >> 10);
	boot_blocks_init();
	hotplug_init();
	resize_init();
	serve();
	finish();
}
