#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""guest.py DIR PROGRAM...: what this machine lacks: DAX devices, NUMA, huge pages of 1 GiB, systemd, another processor.

Boots a guest under QEMU on Debian's kernel, which scripts/install-deps --guest has put into DIR,
with a file system in memory that is made here: busybox, our programs and the libraries that they
need, and guest_init.sh, which runs the cases of the machine's file and writes a line for each to a
serial port of its own. Exit status 77: the kernel or QEMU is not there; the last line says which.

Invariants: nothing outside of DIR is written; QEMU ends with us, whatever ends us, and at the
latest after --seconds. Must not know what a case does.

Options, before DIR: --only PATTERN (cases), --seconds N (bound of all), --accel kvm|tcg, --verbose,
--machine x86_64|aarch64|systemd, --kernel NAME (in DIR).
"""
import argparse
import ctypes
import gzip
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
PR_SET_PDEATHSIG = 1


class Pc:
    """Two nodes of 2 and 3 GiB, each of which gives up a range for a device; node 1 has a whole GiB
    that is free of anything else. The guest touches little of it."""
    processor = "x86_64"
    qemu = "qemu-system-x86_64"
    base = None
    modules = ["libnvdimm", "nd_btt", "nd_pmem", "device_dax", "dax_pmem", "nd_e820", "kmem"]
    cases = "guest_cases.sh"
    machine = ["-m", "5G", "-smp", "2",
               "-object", "memory-backend-ram,id=m0,size=2G", "-numa", "node,memdev=m0,cpus=0",
               "-object", "memory-backend-ram,id=m1,size=3G", "-numa", "node,memdev=m1,cpus=1"]
    serial = ["-serial", "stdio"]
    append = ("console=ttyS0 SAY=ttyS1 quiet panic=-1 memmap=256M!1G memmap=384M!2304M "
              "hugepagesz=2M hugepages=256 hugepagesz=1G hugepages=1 hugepagesz=2M")

    @staticmethod
    def libraries(program, _folder):
        """Where the dynamic linker finds what a program or library needs, by name in the guest."""
        done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        found = re.findall(r"(?:=> )?(/\S+) \(0x", done.stdout)
        return {path: pathlib.Path(path) for path in found if path != str(program)}


class Arm:
    """Two processors. Its libraries are in the folder `root` of DIR, as Debian's packages have them."""
    processor = "aarch64"
    qemu = "qemu-system-aarch64"
    base = None
    modules = []
    cases = "arm_cases.sh"
    machine = ["-machine", "virt", "-m", "2G", "-smp", "2"]
    serial = ["-chardev", "stdio,id=said", "-device", "pci-serial,chardev=said"]
    append = "console=ttyAMA0 SAY=ttyS0 quiet panic=-1"
    linker = "lib/ld-linux-aarch64.so.1"
    places = ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"]

    @classmethod
    def libraries(cls, program, folder):
        root, found, programs = folder / "root", {}, [program]
        while programs:
            done = subprocess.run(["readelf", "-d", programs.pop()], capture_output=True, text=True, check=False)
            for name in re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout):
                place = next((place for place in cls.places if (root / place / name).exists()), None)
                if place and f"{place}/{name}" not in found:
                    found[f"{place}/{name}"] = root / place / name
                    programs.append(root / place / name)
        return found | {cls.linker: root / cls.places[0] / "ld-linux-aarch64.so.1"}


class Systemd(Pc):
    """A small Debian, whose first program is systemd: the cases are a service of its."""
    base = "systemd.tar"
    modules = []
    cases = "systemd_cases.sh"
    machine = ["-m", "3G", "-smp", "2"]
    append = ("console=ttyS0 SAY=ttyS1 quiet panic=-1 rdinit=/lib/systemd/systemd systemd.unit=guest.service "
              "systemd.show_status=0")


MACHINES = {"x86_64": Pc, "aarch64": Arm, "systemd": Systemd}
UNITS = HERE.parent.parent / "packaging/systemd"
FILES = {"etc/passwd": "root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n",
         "etc/group": "root:x:0:\nuser:x:1000:\n"}


class Archive:
    """A file system for the kernel to start with: a cpio archive of the "newc" kind."""

    def __init__(self):
        self.entries, self.folders, self.links = [], set(), {}

    def _add(self, name, mode, data):
        self.entries.append((name, mode, data))

    def _place(self, name):
        """Where a file comes to lie when the first folder of its path is a link (/bin, /lib)."""
        first, slash, rest = name.partition("/")
        return self.links.get(first, first) + slash + rest

    def _add_parents(self, name):
        for parent in list(pathlib.PurePosixPath(name).parents)[-2::-1]:
            if str(parent) not in self.folders:
                self.folders.add(str(parent))
                self._add(str(parent), 0o040755, b"")

    def add_folder(self, name):
        self._add_parents(name + "/x")

    def add_file(self, name, data, mode=0o644):
        name = self._place(name)
        self._add_parents(name)
        self._add(name, 0o100000 | mode, data)

    def add_tar(self, path):
        """Another file system; its device files are left out, and what is added later wins."""
        with tarfile.open(path) as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isdir() and name:
                    self.folders.add(name)
                    self._add(name, 0o040000 | member.mode, b"")
                elif member.issym():
                    self.links[name] = member.linkname
                    self._add(name, 0o120777, member.linkname.encode())
                elif member.isreg() or member.islnk():
                    self._add(name, 0o100000 | member.mode, tar.extractfile(member).read())

    def write(self, path):
        with gzip.open(path, "wb", compresslevel=1) as out:
            for inode, (name, mode, data) in enumerate(self.entries + [("TRAILER!!!", 0, b"")], 1):
                encoded = name.encode() + b"\0"
                numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
                head = b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded
                out.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))


def build_archive(args, path):
    archive, folder, guest = Archive(), args.folder, MACHINES[args.machine]
    if guest.base:
        archive.add_tar(folder / guest.base)
        for unit in [HERE / "guest.service", *UNITS.iterdir()]:
            archive.add_file(f"etc/systemd/system/{unit.name}", unit.read_bytes())
    for name in ("proc", "sys", "dev", "tmp", "run"):
        archive.add_folder(name)
    archive.add_file("bin/busybox", (folder / "busybox").read_bytes(), 0o755)
    if not guest.base:
        archive.add_file("bin/sh", (folder / "busybox").read_bytes(), 0o755)
        for name, text in FILES.items():
            archive.add_file(name, text.encode())
    archive.add_file("init", (HERE / "guest_init.sh").read_bytes(), 0o755)
    archive.add_file("cases.sh", (HERE / guest.cases).read_bytes())
    archive.add_file("guest_words.sh", (HERE / "guest_words.sh").read_bytes())
    for module in guest.modules:
        archive.add_file(f"modules/{module}.ko", (folder / f"{module}.ko").read_bytes())
    needed = {}
    for program in args.programs:
        archive.add_file("bin/" + program.name, program.read_bytes(), 0o755)
        needed.update(guest.libraries(program, folder))
    for name in sorted(needed):
        archive.add_file(name.lstrip("/"), needed[name].read_bytes(), 0o755)
    archive.write(path)


def has_kvm():
    """KVM is of use where the processor helps it; emulating that is slower than TCG."""
    flags = re.search(r"^flags.*\b(vmx|svm)\b", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    return bool(flags) and os.access("/dev/kvm", os.R_OK | os.W_OK)


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Guest:
    """The machine, from its start to its end, and what its cases said."""

    def __init__(self, args, archive, console):
        self.verbose = args.verbose
        guest = MACHINES[args.machine]
        accel = args.accel or ("kvm" if guest.processor == platform.machine() and has_kvm() else "tcg")
        append = guest.append + (f" ONLY={args.only}" if args.only else "")
        command = [guest.qemu, "-accel", accel, "-cpu", "max", *guest.machine, "-net", "none",
                   "-display", "none", "-monitor", "none", "-no-reboot",
                   "-serial", f"file:{console}", *guest.serial,
                   "-kernel", args.folder / args.kernel, "-initrd", archive, "-append", append]
        self.passed, self.failed, self.done, self.lines = 0, 0, False, []
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, preexec_fn=die_with_parent)

    def read(self):
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").rstrip()
            if self.verbose:
                print(line, flush=True)
            if re.fullmatch(r"ok \w+ \d+", line):
                self.passed += 1
            elif line == "done":
                self.done = True
            elif line:
                self.failed += line.startswith("FAILED ")
                self.lines.append(line)

    def run(self, seconds):
        watch = threading.Timer(seconds, self.process.kill)
        watch.start()
        try:
            self.read()
        finally:
            watch.cancel()
            self.process.kill()
            self.process.wait()


def skip(reason):
    print(reason)
    sys.exit(SKIPPED)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=int, default=3500)
    parser.add_argument("--accel", choices=["kvm", "tcg"])
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--machine", choices=MACHINES, default="x86_64")
    parser.add_argument("--kernel", default="vmlinuz")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("programs", type=pathlib.Path, nargs="+")
    return parser.parse_args()


def main():
    args = parse()
    guest_kind = MACHINES[args.machine]
    needed = [args.kernel, "busybox", *(f"{module}.ko" for module in guest_kind.modules),
              *([guest_kind.base] if guest_kind.base else [])]
    missing = [name for name in needed if not (args.folder / name).is_file()]
    if missing:
        skip(f"needs file {args.folder / missing[0]}: "
             f"scripts/install-deps --guest {args.folder} {guest_kind.processor} puts it there")
    if shutil.which(guest_kind.qemu) is None:
        skip(f"needs program {guest_kind.qemu}")
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        archive, console = f"{temporary}/initramfs", f"{temporary}/console"
        build_archive(args, archive)
        guest = Guest(args, archive, console)
        guest.run(args.seconds)
        if not guest.done:
            guest.failed += 1
            guest.lines.append(f"FAILED guest: it crashed, or was not done after {args.seconds} s")
            text = pathlib.Path(console).read_text(errors="replace")
            guest.lines += ["| " + line for line in text.splitlines()[-20:]]
    if guest.passed + guest.failed == 0:
        guest.failed, guest.lines = 1, guest.lines + ["FAILED guest: no such case"]
    if guest.failed:
        print("\n".join([] if args.verbose and guest.done else guest.lines))
        only = re.search(r"^FAILED (\w+)$", "\n".join(guest.lines), re.M)
        words = [sys.argv[0], "--verbose", "--machine", args.machine, "--kernel", args.kernel,
                 *(["--only", only[1]] if only else []), args.folder]
        print("replay:", *words, *args.programs)
    print(f"{guest.passed} passed, {guest.failed} failed")
    return guest.failed != 0


sys.exit(main())
