/* SPDX-License-Identifier: MIT */
/*
 * program.c - what `memplug run` can tell of a program before it starts it.
 *
 * A preloaded library reaches only what the dynamic linker starts without privileges, and gets the
 * memory only of those who leave malloc to others. That is read from the file: the ELF header, its
 * program headers and its dynamic symbols. A script is what its interpreter is. Files of others
 * are read here: nothing in them is trusted.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "program.h"

/* A file in memory. */
struct image {
	const unsigned char *at;
	size_t size;
};

/* [offset, offset + size) of the file; NULL: it is shorter. */
static const void *
part(const struct image *image, uint64_t offset, uint64_t size)
{
	if (offset > image->size || size > image->size - offset)
		return NULL;
	return image->at + offset;
}

static bool
has_interpreter(const struct image *image, const Elf64_Ehdr *elf)
{
	for (unsigned i = 0; i < elf->e_phnum; i++) {
		const Elf64_Phdr *header =
			part(image, elf->e_phoff + i * sizeof(*header), sizeof(*header));
		if (header != NULL && header->p_type == PT_INTERP)
			return true;
	}
	return false;
}

/* The section that has this type, or this name unless that is NULL. */
static const Elf64_Shdr *
section(const struct image *image, const Elf64_Ehdr *elf, uint32_t type, const char *name)
{
	const Elf64_Shdr *all = part(image, elf->e_shoff, elf->e_shnum * sizeof(*all));
	if (all == NULL || elf->e_shstrndx >= elf->e_shnum)
		return NULL;
	for (unsigned i = 0; i < elf->e_shnum; i++) {
		size_t length = name == NULL ? 0 : strlen(name) + 1;
		const char *own = part(image, all[elf->e_shstrndx].sh_offset + all[i].sh_name,
				       length);
		if (name == NULL ? all[i].sh_type == type
				 : own != NULL && memcmp(own, name, length) == 0)
			return &all[i];
	}
	return NULL;
}

/* Is there a dynamic symbol of that name; defined here, if that is asked? */
static bool
has_symbol(const struct image *image, const Elf64_Ehdr *elf, const char *name, bool defined)
{
	const Elf64_Shdr *table = section(image, elf, SHT_DYNSYM, NULL);
	const Elf64_Shdr *all = part(image, elf->e_shoff, elf->e_shnum * sizeof(*all));
	if (table == NULL || table->sh_link >= elf->e_shnum)
		return false;
	const Elf64_Sym *symbol = part(image, table->sh_offset, table->sh_size);
	for (uint64_t i = 0; symbol != NULL && i < table->sh_size / sizeof(*symbol); i++) {
		const char *own = part(image, all[table->sh_link].sh_offset + symbol[i].st_name,
				       strlen(name) + 1);
		if (own != NULL && strcmp(own, name) == 0 &&
		    (!defined || symbol[i].st_shndx != SHN_UNDEF))
			return true;
	}
	return false;
}

static const char *
elf_outside(const struct image *image)
{
	const Elf64_Ehdr *elf = part(image, 0, sizeof(*elf));
	if (elf == NULL || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0)
		return NULL;
	if (elf->e_ident[EI_CLASS] != ELFCLASS64)
		return "is not a 64-bit program";
	if (section(image, elf, 0, ".go.buildinfo") != NULL)
		return "is written in Go, which asks the kernel for memory";
	if (!has_interpreter(image, elf))
		return "is linked statically";
	if (has_symbol(image, elf, "__asan_init", false) ||
	    has_symbol(image, elf, "__tsan_init", false) ||
	    has_symbol(image, elf, "__msan_init", false) ||
	    has_symbol(image, elf, "__lsan_init", false))
		return "is built with a sanitizer, which needs its own malloc";
	if (has_symbol(image, elf, "malloc", true))
		return "has a malloc of its own";
	return NULL;
}

/* Does the kernel start it with privileges that the user has not got? */
static bool
has_privileges(int fd, const struct stat *st)
{
	char capability[64];
	return (st->st_mode & S_ISUID && st->st_uid != geteuid()) ||
	       (st->st_mode & S_ISGID && st->st_gid != getegid()) ||
	       (geteuid() != 0 && fgetxattr(fd, "security.capability", capability,
					    sizeof(capability)) > 0);
}

/* Where a shell finds a program, in path. */
static bool
find(const char *program, char *path, size_t size)
{
	const char *from = getenv("PATH");
	if (strchr(program, '/') != NULL)
		return snprintf(path, size, "%s", program) < (int)size;
	while (from != NULL && *from != 0) {
		size_t length = strcspn(from, ":");
		if (snprintf(path, size, "%.*s/%s", (int)length, from, program) < (int)size &&
		    access(path, X_OK) == 0)
			return true;
		from += length + (from[length] == ':');
	}
	return false;
}

/* The interpreter of a script, or the program that `env` is to find. */
static bool
interpreter(const struct image *image, char *name, size_t size)
{
	char line[256] = "", first[256], second[256] = "";
	if (image->size < 3 || memcmp(image->at, "#!", 2) != 0)
		return false;
	memcpy(line, image->at + 2, image->size - 2 < 255 ? image->size - 2 : 255);
	line[strcspn(line, "\n")] = 0;
	int words = sscanf(line, " %255s %255s", first, second);
	const char *base = words < 1 ? NULL : strrchr(first, '/');
	bool env = words == 2 && base != NULL && strcmp(base, "/env") == 0 && second[0] != '-';
	return words >= 1 && snprintf(name, size, "%s", env ? second : first) < (int)size;
}

/* Look at a file. True: it is a script, and name is what runs it. */
static bool
look(const char *path, const char **ret_outside, char *name, size_t size)
{
	struct stat st;
	struct image image = { 0 };
	bool script = false;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		image.size = (size_t)st.st_size;
		image.at = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	if (image.size != 0 && image.at != MAP_FAILED) {
		script = interpreter(&image, name, size);
		if (!script && has_privileges(fd, &st))
			*ret_outside = "runs with other privileges than yours";
		else if (!script)
			*ret_outside = elf_outside(&image);
		munmap((void *)image.at, image.size);
	}
	close(fd);
	return script;
}

const char *
cli_program_outside(const char *program)
{
	char path[PATH_MAX], name[PATH_MAX];
	const char *outside = NULL;
	if (find(program, path, sizeof(path)) && look(path, &outside, name, sizeof(name)) &&
	    find(name, path, sizeof(path)))
		(void)look(path, &outside, name, sizeof(name));
	return outside;
}
