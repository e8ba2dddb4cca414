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

/* The same, wherever it lies: no field says that it is aligned. False: the file is shorter. */
static bool
copy(const struct image *image, uint64_t offset, void *to, size_t size)
{
	const void *from = part(image, offset, size);
	if (from != NULL)
		memcpy(to, from, size);
	return from != NULL;
}

/* Is there such a text at the offset? */
static bool
is_text(const struct image *image, uint64_t offset, const char *text)
{
	const void *own = part(image, offset, strlen(text) + 1);
	return own != NULL && memcmp(own, text, strlen(text) + 1) == 0;
}

static bool
has_interpreter(const struct image *image, const Elf64_Ehdr *elf)
{
	Elf64_Phdr header;
	for (unsigned i = 0; i < elf->e_phnum; i++)
		if (copy(image, elf->e_phoff + i * sizeof(header), &header, sizeof(header)) &&
		    header.p_type == PT_INTERP)
			return true;
	return false;
}

static bool
section(const struct image *image, const Elf64_Ehdr *elf, uint32_t number, Elf64_Shdr *ret)
{
	return number < elf->e_shnum &&
	       copy(image, elf->e_shoff + number * sizeof(*ret), ret, sizeof(*ret));
}

static bool
has_section(const struct image *image, const Elf64_Ehdr *elf, const char *name)
{
	Elf64_Shdr names, own;
	if (!section(image, elf, elf->e_shstrndx, &names))
		return false;
	for (uint32_t i = 0; section(image, elf, i, &own); i++)
		if (is_text(image, names.sh_offset + own.sh_name, name))
			return true;
	return false;
}

/* Is there a dynamic symbol of that name; defined here, if that is asked? */
static bool
has_symbol(const struct image *image, const Elf64_Ehdr *elf, const char *name, bool defined)
{
	Elf64_Shdr table, names;
	Elf64_Sym symbol;
	uint32_t i = 0;
	while (section(image, elf, i, &table) && table.sh_type != SHT_DYNSYM)
		i++;
	if (!section(image, elf, i, &table) || !section(image, elf, table.sh_link, &names) ||
	    part(image, table.sh_offset, table.sh_size) == NULL)
		return false;
	for (uint64_t at = 0; table.sh_size - at >= sizeof(symbol); at += sizeof(symbol))
		if (copy(image, table.sh_offset + at, &symbol, sizeof(symbol)) &&
		    is_text(image, names.sh_offset + symbol.st_name, name) &&
		    (!defined || symbol.st_shndx != SHN_UNDEF))
			return true;
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
	if (has_section(image, elf, ".go.buildinfo"))
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
