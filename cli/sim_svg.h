/* SPDX-License-Identifier: MIT */
/*
 * sim_svg.h - a rehearsal as a picture over time.
 */
#ifndef MHP_CLI_SIM_SVG_H
#define MHP_CLI_SIM_SVG_H

#include "../replay/scenario.h"

/* Whether that worked, the file knows. */
void sim_svg_write(const char *name, const struct mhp__rehearsal *rehearsal, FILE *file);

#endif
