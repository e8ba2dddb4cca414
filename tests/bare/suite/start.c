/* SPDX-License-Identifier: MIT */
/*
 * start.c - brings the machine up as far as tests need it, runs main(), and ends the machine.
 *
 * The command line is the program's: `tests --quick pages__*`. One CPU, no interrupts; the port's
 * page tables, traps, console and clock are what the image itself has. The hot half of the port
 * (mhp_port_inline.h) asks the processor which CPU it runs on; tests play several, so that register
 * points to a record of theirs, whose `self` is the real one.
 */
#include <stdlib.h>
#include <string.h>

#include "bootmem.h"
#include "console.h"
#include "machine.h"
#include "mmu.h"
#include "play.h"
#include "processor.h"
#include "smp.h"
#include "suite.h"

enum { ARGS_MAX = 64 };

void kernel_main(uint64_t boot_argument);       /* boot.S */
int main(int argc, char **argv);

/* Cases register themselves; kernel.ld collects who does. */
extern void (*init_array_start[])(void);
extern void (*init_array_end[])(void);

static struct smp_cpu played;
unsigned *const suite_played_cpu = &played.id;

void
suite_say(const char *text)
{
	say("%s", text);
}

/* The same handshake as the image's (main.c): QEMU may hang when it is spoken to while it ends. */
void
suite_end(int status)
{
	static char line[16];

	say("bare: %s\n", status == 0 ? "PASS" : "FAIL");
	while (!console_line(line, sizeof(line), false))
		cpu_pause();
	machine_exit(status == 0 ? MACHINE_EXIT_PASS : MACHINE_EXIT_FAIL);
}

static void
bring_up(uint64_t boot_argument)
{
	machine_bring_up(boot_argument);
	suite_allow_float();
	played.self = smp_self();
	cpu_set_self(&played);
	suite_catch_exceptions();
}

static int
read_words(char *text, char **words)
{
	int nr = 0;

	while (*text != '\0' && nr < ARGS_MAX - 1) {
		while (*text == ' ')
			*text++ = '\0';
		if (*text != '\0')
			words[nr++] = text;
		while (*text != '\0' && *text != ' ')
			text++;
	}
	words[nr] = NULL;
	return nr;
}

void
kernel_main(uint64_t boot_argument)
{
	static char *words[ARGS_MAX];

	bring_up(boot_argument);
	int nr = read_words(bootmem_command_line(), words);
	for (void (**init)(void) = init_array_start; init < init_array_end; init++)
		(*init)();
	exit(main(nr, words));
}
