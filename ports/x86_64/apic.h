/* SPDX-License-Identifier: MIT */
/*
 * apic.h - this CPU's local APIC.
 */
#ifndef X86_64_APIC_H
#define X86_64_APIC_H

/* Let interrupts reach this CPU. */
void apic_on(void);
/* End of interrupt. */
void apic_eoi(void);

#endif
