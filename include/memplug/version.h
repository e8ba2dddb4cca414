/* SPDX-License-Identifier: MIT */
/*
 * version.h - which version of memplug a program was compiled with, and which one it runs with.
 *
 * The two may differ where the library is shared; docs/ABI.md says what may differ between them.
 *
 * Context, unless a function says otherwise: any, also a signal handler.
 */
#ifndef MEMPLUG_VERSION_H
#define MEMPLUG_VERSION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MHP_VERSION_MAJOR 0
#define MHP_VERSION_MINOR 2
#define MHP_VERSION_PATCH 1
#define MHP_VERSION_TEXT "0.2.1"

/** A version as one number that grows: for #if MHP_VERSION >= MHP_VERSION_NUMBER(0, 2, 0). */
#define MHP_VERSION_NUMBER(major, minor, patch) ((major) * 1000000 + (minor) * 1000 + (patch))
/** The version of these headers. */
#define MHP_VERSION                                                                                \
	MHP_VERSION_NUMBER(MHP_VERSION_MAJOR, MHP_VERSION_MINOR, MHP_VERSION_PATCH)

/** The version of the code that runs, as an MHP_VERSION_NUMBER(). Context: any. */
uint32_t mhp_version(void);

/** The version of the code that runs as text, "0.2.0". Context: any. */
const char *mhp_version_text(void);

#ifdef __cplusplus
}
#endif
#endif
