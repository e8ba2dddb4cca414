#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""install_test.py BUILD_DIR: what authors get from `make install` (R79), used as they use it.

The build is installed into a folder once; everything after that sees the installed files only, through
pkg-config, CMake, and the lines that the README shows.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
import unittest

BUILD = pathlib.Path(sys.argv[1]).resolve()
HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path.insert(0, str(TOP / "scripts"))


def call(*words, **options):
    """Run a command; what it says on standard output, or an error that says everything."""
    words = [str(word) for word in words]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}")
    return done.stdout


class Installed:
    """A tree as `make install` leaves it, and a folder of somebody who uses it."""

    def __init__(self, folder):
        self.root, self.home = folder / "root", folder / "home"
        self.home.mkdir()
        call("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", self.root)
        self.libdir = next(self.root.rglob("libmemplug.so")).parent
        self.include = next(self.root.rglob("mhp.h")).parent.parent
        self.env = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(self.root),
                    "PKG_CONFIG_LIBDIR": str(self.libdir / "pkgconfig"),
                    "LD_LIBRARY_PATH": str(self.libdir), "CC": os.environ.get("CC", "cc"),
                    "XDG_RUNTIME_DIR": str(self.home)}

    def shell(self, line):
        return call("sh", "-c", line, cwd=self.home, env=self.env)

    def write(self, name, text):
        (self.home / name).write_text(text)


HELLO = """
#include <memplug/linux.h>
#include <stdio.h>
int main(void)
{
	struct mhp_pool *pool;
	if (mhp_version() != MHP_VERSION || mhp_pool_create(NULL, &pool, NULL) != 0)
		return 1;
	puts(mhp_version_text());
	return mhp_pool_destroy(pool) != 0;
}
"""


def version():
    return re.search(r"version: '([^']+)'", (TOP / "meson.build").read_text())[1]


def version__wherever_it_stands__is_the_same(_at):
    places = {"include/memplug/version.h": r'MHP_VERSION_TEXT "(.*?)"',
              "bindings/python/pyproject.toml": r'version = "(.*?)"',
              "packaging/debian/changelog": r"memplug \((.*?)\)",
              "packaging/memplug.spec": r"Version: *(\S+)", "CHANGELOG.md": r"## (\S+)"}
    found = {place: re.search(pattern, (TOP / place).read_text())[1]
             for place, pattern in places.items()}
    assert set(found.values()) == {version()}, found
    numbers = "".join(f"#define MHP_VERSION_{name} {number}\n" for name, number in
                      zip(("MAJOR", "MINOR", "PATCH"), version().split(".")))
    assert numbers in (TOP / "include/memplug/version.h").read_text(), numbers


def library__found_by_pkg_config__links_and_runs(at):
    at.write("hello.c", HELLO)
    assert at.shell("pkg-config --modversion memplug").strip() == version()
    said = at.shell("$CC hello.c -o hello $(pkg-config --cflags --libs memplug) && ./hello")
    assert said.strip() == version(), said
    needed = at.shell("objdump -p hello | sed -n 's/ *NEEDED *//p'").split()
    assert "libmemplug.so.0" in needed, needed


def library__linked_statically__needs_libc_only(at):
    at.write("hello.c", HELLO)
    at.shell("$CC hello.c -o static $(pkg-config --cflags memplug)"
             f" {at.libdir}/libmemplug.a -pthread && ./static")
    needed = at.shell("objdump -p static | sed -n 's/ *NEEDED *//p'").split()
    assert not [name for name in needed if not name.startswith(("libc.", "ld-"))], needed


def headers__every_one_installed__has_its_code(at):
    """Each function that a header declares is called by a program that includes that header only."""
    abi = load("check-abi")
    for header in sorted(at.include.glob("memplug/*.h")):
        if header.name == "cache_locked.h":
            continue
        names = sorted(abi.functions(abi.plain(header)))
        table = ", ".join(f"(void *){name}" for name in names) or "(void *)0"
        at.write("header.c", f"#include <memplug/{header.name}>\n"
                 f"void *table[] = {{ {table} }};\nint main(void) {{ return table[0] == (void *)1; }}")
        at.shell("$CC header.c -o header $(pkg-config --cflags --libs memplug) && ./header")


def headers__included_from_cplusplus__compile(at):
    at.write("all.cc", "".join(f"#include <memplug/{name}.h>\n"
                               for name in ("mhp", "linux", "control", "heap", "version")))
    at.shell("clang++ -fsyntax-only -Wall -Wextra -Werror all.cc $(pkg-config --cflags memplug)")


def manual__every_function__has_a_page(at):
    abi = load("check-abi")
    names = set().union(*(abi.functions(text) for text in abi.public().values()))
    pages = {path.stem: path.read_text() for path in at.root.rglob("man3/*.3")}
    assert not names - set(pages), names - set(pages)
    vague = [name for name in names if ".SH CONTEXT" not in pages[name]]
    assert not vague, f"from where may they be called? {vague}"


def reference__every_name__has_a_place_and_links_lead_there(at):
    abi = load("check-abi")
    names = set().union(*(abi.functions(text) for text in abi.public().values()))
    pages = {path.name: path.read_text() for path in at.root.rglob("doc/memplug/reference/*.html")}
    places = {name: set(re.findall(r'id="(\w+)"', text)) for name, text in pages.items()}
    missing = names - set().union(*places.values())
    assert not missing, missing
    for page, text in pages.items():
        for home, anchor in re.findall(r'href="([^"#]*)#?(\w*)"', text):
            assert (home or page) in pages and (not anchor or anchor in places[home or page]), (page, home, anchor)


def errors__on_linux__are_minus_errno(at):
    shutil.copy(HERE / "errors.c", at.home)
    at.shell("$CC errors.c -o errors $(pkg-config --cflags --libs memplug) && ./errors")


def archive__embedded_with_a_port_of_its_own__runs(at):
    shutil.copy(HERE / "embed.c", at.home)
    at.shell("$CC embed.c -o embed $(pkg-config --cflags --libs memplug-core) && ./embed")


CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(hello C)
find_package(memplug %s REQUIRED)
add_executable(hello hello.c)
target_link_libraries(hello memplug::memplug)
add_executable(static hello.c)
target_link_libraries(static memplug::static)
"""


def library__found_by_cmake__links_and_runs(at):
    at.write("hello.c", HELLO)
    at.write("CMakeLists.txt", CMAKE % version())
    at.shell(f"cmake -Dmemplug_DIR={at.libdir}/cmake/memplug -B cmake . && cmake --build cmake"
             " && cmake/hello && cmake/static")


def library__other_series_asked_of_cmake__is_refused(at):
    at.write("CMakeLists.txt", CMAKE % "0.1")
    said = at.shell(f"! cmake -Dmemplug_DIR={at.libdir}/cmake/memplug -B old .")
    assert "compatible with requested version" in said, said


def example(at, name, arguments=""):
    """Build an example by the line that stands in it, run it, and hold its words against NAME.txt."""
    source = TOP / "examples" / f"{name}.c"
    line = re.search(r"cc .*--libs memplug\)", source.read_text())[0]
    shutil.copy(source, at.home)
    at.shell(line.replace("cc", "$CC -Wall -Wextra -Werror", 1))
    return at.shell(f"./{name} {arguments}")


def examples__by_the_lines_in_them__say_what_is_expected(at):
    device = at.home / "device.img"
    device.write_bytes(b"\0" * (8 << 20))
    for name, arguments in {"buffers": "", "region": "", "listener": "",
                            "device": f"file:{device}", "watch": "devices"}.items():
        said = example(at, name, arguments)
        wanted = (TOP / "examples" / f"{name}.txt").read_text()
        assert said == wanted, f"{name}:\n{said}"


def command(at):
    memplug = next(at.root.rglob("bin/memplug"), None)
    if memplug is None:
        raise unittest.SkipTest("needs library json-c")
    return memplug


def command__installed_anywhere__finds_its_library(at):
    said = at.shell(f"{command(at)} run --name install-{os.getpid()} -- sh -c 'echo $LD_PRELOAD'")
    assert str(at.libdir / "memplug/libmemplug-heap.so") in os.path.realpath(said.strip()), said


def example_served__by_the_command__is_listed_and_changed(at):
    memplug = command(at)
    source = TOP / "examples/served.c"
    shutil.copy(source, at.home)
    at.shell("$CC served.c -o served $(pkg-config --cflags --libs memplug)")
    process = subprocess.Popen(["./served"], cwd=at.home, env=at.env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("served"), "it did not start"
        pool = f"{memplug} -p {process.pid}"
        assert "online" in at.shell(f"{pool} list")
        at.shell(f"{pool} add 8M && {pool} remove 0-1")
        said = at.shell(f"{pool} list")
        assert "2-3" in said and "0-1" not in said, said
        process.terminate()
        assert process.communicate()[0].startswith("0 of") and process.returncode == 0
    finally:
        process.kill()
        process.wait()


def readme__lines_of_c__compile_and_run(at):
    blocks = re.findall(r"```c\n(.*?)```", (TOP / "README.md").read_text(), flags=re.S)
    lines = next(block for block in blocks if "mhp_pool_create" in block)
    at.write("readme.c", "#include <memplug/linux.h>\nint main(void)\n{\n" + lines +
             "*(int *)mhp_region_base(region) = 1;\nreturn 0;\n}\n")
    at.shell("$CC readme.c -Wno-unused-result -o readme $(pkg-config --cflags --libs memplug)"
             " && ./readme")


def python__arrays_in_a_region__stay_while_blocks_leave(at):
    python = "/usr/bin/python3 -B"
    for module in ("numpy", "pip"):
        if subprocess.run([*python.split(), "-c", f"import {module}"], capture_output=True).returncode:
            raise unittest.SkipTest(f"needs python {module}")
    at.shell(f"{python} -m pip install --quiet --no-index --no-deps --root-user-action=ignore"
             f" --target modules {TOP}/bindings/python")
    at.shell(f"PYTHONPATH=modules {python} {HERE}/python_test.py {TOP}/lib/abi.txt")


def load(script):
    """A script of ours as a module; they have no .py."""
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_loader
    name = script.replace("-", "_")
    spec = spec_from_loader(name, SourceFileLoader(name, str(TOP / "scripts" / script)))
    module = module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    return module


def main():
    cases = [case for name, case in globals().items() if "__" in name.strip("_") and callable(case)]
    only = sys.argv[2:]
    failed, skipped = [], 0
    with tempfile.TemporaryDirectory() as folder:
        at = Installed(pathlib.Path(folder))
        for case in cases:
            if only and case.__name__ not in only:
                continue
            try:
                case(at)
            except unittest.SkipTest as error:
                skipped += 1
                print(f"SKIPPED {case.__name__}: {error}")
            except Exception as error:
                failed.append(case)
                print(f"FAILED {case.__name__}: {error}")
                if not isinstance(error, AssertionError):
                    traceback.print_exc(file=sys.stdout)
                print(f"    replay: {sys.argv[0]} {BUILD} {case.__name__}")
    passed = (len(only) or len(cases)) - len(failed) - skipped
    print(f"{passed} passed, {len(failed)} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


sys.exit(main())
