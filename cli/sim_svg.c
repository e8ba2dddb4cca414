/* SPDX-License-Identifier: MIT */
/*
 * sim_svg.c - a rehearsal as a picture: one panel a measure, steps from left to right.
 *
 * Nothing in it refers to anything outside of the file. A panel has no more points than it is wide.
 */
#include <inttypes.h>

#include "cli.h"
#include "sim_svg.h"

#define LEFT 16U
#define WIDTH 720U
#define TOP 56U
#define HEIGHT 84U
#define PITCH 126U

typedef double measure_fn(const struct mhp__scenario_sample *sample);

static double
plugged(const struct mhp__scenario_sample *sample)
{
	return (double)sample->plugged_bytes;
}

static double
used(const struct mhp__scenario_sample *sample)
{
	return (double)sample->used_bytes;
}

static double
metadata(const struct mhp__scenario_sample *sample)
{
	return (double)sample->metadata_bytes;
}

static double
moved(const struct mhp__scenario_sample *sample)
{
	return (double)sample->moved_bytes;
}

/* Of what is free: how much lies in blocks that something is used of. */
static double
scattered(const struct mhp__scenario_sample *sample)
{
	double unused = (double)(sample->plugged_bytes - sample->used_bytes);
	return unused <= 0 ? 0 : 100 * (1 - (double)sample->empty_bytes / unused);
}

static double
success(const struct mhp__scenario_sample *sample)
{
	return sample->asked_blocks == 0
		? 100 : 100.0 * (double)sample->left_blocks / (double)sample->asked_blocks;
}

static const struct panel {
	const char *name;
	bool share;                    /* in per cent; else bytes */
	measure_fn *fn[2];
	const char *second;            /* what the second one is */
} panels[] = {
	{ "plugged", false, { plugged, used }, "used" },
	{ "blocks that left, of those that were to", true, { success, NULL }, "" },
	{ "moved so far", false, { moved, NULL }, "" },
	{ "metadata", false, { metadata, NULL }, "" },
	{ "free memory that is scattered over used blocks", true, { scattered, NULL }, "" },
};
#define PANELS (sizeof(panels) / sizeof(panels[0]))

static double
largest(const struct mhp__rehearsal *rehearsal, const struct panel *panel)
{
	double most = panel->share ? 100 : 1;
	for (size_t i = 0; i < rehearsal->nr_samples; i++)
		if (panel->fn[0](&rehearsal->sample[i]) > most)
			most = panel->fn[0](&rehearsal->sample[i]);
	return most;
}

static void
write_line(const struct mhp__rehearsal *rehearsal, measure_fn *fn, const char *class, double most,
	   unsigned y, FILE *file)
{
	size_t nr = rehearsal->nr_samples, stride = nr / WIDTH + 1;
	fprintf(file, "<polyline class=\"%s\" points=\"", class);
	for (size_t i = 0; i < nr; i += stride) {
		double x = LEFT + (double)i * WIDTH / (double)(nr > 1 ? nr - 1 : 1);
		double share = fn(&rehearsal->sample[i]) / most;
		fprintf(file, "%.1f,%.1f ", x, y + HEIGHT * (1 - share));
	}
	fputs("\"/>\n", file);
}

static void
write_panel(const struct mhp__rehearsal *rehearsal, const struct panel *panel, unsigned y,
	    FILE *file)
{
	double most = largest(rehearsal, panel);
	fprintf(file, "<text x=\"%u\" y=\"%u\">%s", LEFT, y - 8, panel->name);
	if (panel->fn[1] != NULL)
		fprintf(file, " <tspan class=\"second\">and %s</tspan>", panel->second);
	fprintf(file, "</text>\n<text class=\"faint\" x=\"%u\" y=\"%u\" text-anchor=\"end\">%s"
		"</text>\n", LEFT + WIDTH, y - 8,
		panel->share ? "100%" : cli_size(most > 1 ? (uint64_t)most : 0));
	fprintf(file, "<rect class=\"bed\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\"/>\n",
		LEFT, y, WIDTH, HEIGHT);
	write_line(rehearsal, panel->fn[0], "first", most, y, file);
	if (panel->fn[1] != NULL)
		write_line(rehearsal, panel->fn[1], "second", most, y, file);
}

/* A name of a file may be anything. */
static void
write_text(const char *text, FILE *file)
{
	for (; *text != 0; text++)
		if (*text == '<' || *text == '&')
			fputs(*text == '<' ? "&lt;" : "&amp;", file);
		else
			fputc((unsigned char)*text < ' ' ? '_' : *text, file);
}

void
sim_svg_write(const char *name, const struct mhp__rehearsal *rehearsal, FILE *file)
{
	unsigned height = TOP + (unsigned)PANELS * PITCH;
	fprintf(file, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		"viewBox=\"0 0 %u %u\" font-family=\"monospace\" font-size=\"11\">\n"
		"<style>\n.paper{fill:#ffffff} text{fill:#24292f} .faint{fill:#6e7781}\n"
		".bed{fill:#f6f8fa} polyline{fill:none;stroke-width:1.5} .first{stroke:#0969da}\n"
		"polyline.second{stroke:#1a7f37} tspan.second{fill:#1a7f37}\n"
		"@media (prefers-color-scheme:dark){.paper{fill:#0d1117} text{fill:#e6edf3}\n"
		".faint{fill:#8b949e} .bed{fill:#161b22} .first{stroke:#58a6ff}\n"
		"polyline.second{stroke:#3fb950} tspan.second{fill:#3fb950}}\n</style>\n"
		"<rect class=\"paper\" width=\"100%%\" height=\"100%%\"/>\n"
		"<text x=\"%u\" y=\"24\" font-size=\"16\">", LEFT * 2 + WIDTH, height,
		LEFT * 2 + WIDTH, height, LEFT);
	write_text(name, file);
	fprintf(file, ": %zu steps</text>\n", rehearsal->nr_samples);
	for (unsigned i = 0; i < PANELS; i++)
		write_panel(rehearsal, &panels[i], TOP + i * PITCH, file);
	fputs("</svg>\n", file);
}
