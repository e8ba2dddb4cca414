# SPDX-License-Identifier: MIT
"""top_test.py BUILD_DIR: `memplug top` and what else draws on a terminal, as a terminal shows it.

Sizes are those that people have: 80x24, a corner of 40x10, and what a tiling window manager leaves.
Nothing wraps, nothing is drawn over something else, and it ends when it should, also with a pool
that stops answering while one looks at it (R68).
"""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

BUILD = os.path.abspath(sys.argv[1])
MEMPLUG = BUILD + "/cli/memplug"
HERE = os.path.dirname(os.path.abspath(__file__))

try:
    import pyte
except ImportError:
    print("needs python pyte", file=sys.stderr)
    sys.exit(77)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, lines, columns, *words):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            os.environ.update(TERM="linux", LC_ALL="C.UTF-8")
            os.execv(MEMPLUG, [MEMPLUG, *words])

    def until(self, shown):
        """Read on until the screen shows this, or (None) the command has ended."""
        end = time.monotonic() + 60
        while time.monotonic() < end and not (shown and any(shown in line for line in self.screen.display)):
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                part = os.read(self.fd, 65536)
            except OSError:
                part = b""
            if not part:
                self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                assert shown is None, f"it ended with {self.status}: {self.text()}"
                return self
            self.stream.feed(part)
        assert shown and any(shown in line for line in self.screen.display), f"no '{shown}': {self.text()}"
        return self

    def text(self):
        return "\n".join(self.screen.display)

    def press(self, key):
        os.write(self.fd, key)


def check_layout(terminal, name):
    title, *lines = terminal.screen.display
    assert name[:8] in title and "q quits" in title, terminal.text()
    # What wraps goes on in the first column, where nothing else is.
    assert all(line[0] == " " for line in lines), terminal.text()
    shown = [line for line in lines if line.strip()]
    assert shown[0].startswith(" used [") and "] " in shown[0] and " of 6" in shown[0], terminal.text()
    assert shown[-1].startswith(" a cell: 1 block, 16M") and "empty" in shown[-1], terminal.text()
    assert sum("000000000000" in line for line in lines) == 1, terminal.text()
    assert sum(line.startswith(" 0-3 ") and "used" in line for line in lines) == 1, terminal.text()


def main():
    folder = tempfile.TemporaryDirectory()
    os.environ["MEMPLUG_RUNTIME_DIR"] = folder.name + "/run"
    os.mkdir(folder.name + "/run", 0o700)
    pool = subprocess.Popen([MEMPLUG, "run", "--name", "top-test", "--boot", "64M", "--block-size", "16M",
                             "--grow", "none", "--", "/bin/sleep", "600"])
    silent = None
    try:
        while subprocess.run([MEMPLUG, "list"], capture_output=True, check=False).returncode != 0:
            assert pool.poll() is None, "the program did not start"
            time.sleep(0.05)
        for lines, columns in (24, 80), (10, 40), (50, 200), (15, 60), (12, 300):
            for key in b"q", b"\x03":
                top = Terminal(lines, columns, "top", "--interval", "0.1").until("a cell")
                time.sleep(0.3)  # some ticks more
                top.until("a cell")
                check_layout(top, "top-test")
                top.press(key)
                assert top.until(None).status == 0, top.text()
        for lines, columns in (3, 10), (1, 1):  # nothing to be seen, and no harm
            top = Terminal(lines, columns, "top", "--interval", "0.1")
            time.sleep(0.5)
            top.press(b"q")
            assert top.until(None).status == 0
        silent = subprocess.Popen([sys.executable, HERE + "/hostile.py", folder.name + "/run", "silent", "silent"],
                                  stdout=subprocess.PIPE)
        silent.stdout.readline()
        top = Terminal(24, 80, "-p", "silent", "top").until("not answering")
        top.press(b"q")
        assert top.until(None).status == 0
        top = Terminal(24, 80, "-p", "silent", "top").until("not answering")
        silent.kill()
        assert top.until(None).status == 0 and "the program has ended" in top.text()
        for words in ("list",), ("list", "--all"), ("ps",), ("status",):
            command = Terminal(24, 80, "-p", "top-test", *words).until(None)
            shown = [line for line in command.screen.display if line.strip()]
            outside = [i for i, line in enumerate(shown) if "OUTSIDE OF THE POOL" in line]
            for at in outside: # each of its lines begins with a size
                assert all(line.split()[0][0].isdigit() for line in shown[at + 1:]), f"{words} wraps: {command.text()}"
            expected = {"list": 2, "list --all": 5, "ps": 2, "status": 6}[" ".join(words)]
            assert len(shown[:outside[0]] if outside else shown) == expected, f"{words} wraps: {command.text()}"
            assert (len(outside) == 1) == ("--all" in words), f"{words}: {command.text()}"
        command = Terminal(24, 80, "-p", "top-test", "map").until("a cell is")
        assert command.until(None).status == 0 and "0x000000000000" in command.text()
    finally:
        for process in pool, silent:
            if process is not None:
                process.send_signal(signal.SIGKILL)
                process.wait()


try:
    main()
except AssertionError as error:
    print(f"top_test: {error}\nreplay: {sys.executable} {' '.join(sys.argv)}", file=sys.stderr)
    sys.exit(1)
