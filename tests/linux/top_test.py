# SPDX-License-Identifier: MIT
"""top_test.py BUILD_DIR: `memplug top` and what else draws on a terminal, as a terminal shows it.

Sizes are those that people have: 80x24, a corner of 40x10, and what a tiling window manager leaves.
Nothing wraps, nothing is drawn over something else, and it ends when it should, also with a pool
that stops answering while one looks at it (R68).
"""
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
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

    def __init__(self, lines, columns, *words, hangup=signal.SIG_DFL, **environ):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            os.environ.update(TERM="linux", LC_ALL="C.UTF-8", **environ)
            signal.signal(signal.SIGHUP, hangup)
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


class Slow:
    """A pool that takes as long over a change as the test likes, and says how far it is as it is told."""

    def __init__(self, folder):
        self.progress, self.done, self.cancels = {}, threading.Event(), 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{folder}/{os.getpid()}-slow.sock")
        self.listener.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            threading.Thread(target=self.answer, args=self.listener.accept()[:1], daemon=True).start()

    def answer(self, connection):
        with connection:
            request = connection.recv(65536)
            word = json.loads(request)["request"] if request else ""
            self.cancels += word == "cancel"
            if word == "remove":
                self.done.wait(60)
            if word in ("remove", "progress"):
                connection.sendall(json.dumps(self.progress if word == "progress" else {}).encode() + b"\n")


def check_progress(folder):
    """R57: how far a change is, in one line that goes when it is through; an interrupt is heard at once."""
    slow = Slow(folder)
    remove = Terminal(24, 80, "-p", "slow", "remove", "3-4").until("waiting for the pool")
    slow.progress = {"count": 2, "first": 3, "moved_pages": 10, "left_pages": 30, "page_bytes": 4096,
                     "elapsed_ns": 2000000000}
    remove.until("[######..................]  25%  blocks 3-4: 40K moved, 120K left, 20K/s")
    slow.progress = {"count": 1, "first": 3, "page_bytes": 4096}
    remove.until("[........................]   0%  block 3: 0B moved, 0B left, 0B/s")
    remove.press(b"\x03")
    remove.until("cancelling")
    slow.progress = {}
    remove.until("waiting for the pool")
    assert slow.cancels > 0, "nobody cancels"
    slow.done.set()
    assert remove.until(None).status == 0 and "waiting" not in remove.text(), remove.text()
    # A pool that never answers is given up, some seconds after the interrupt.
    slow.done.clear()
    remove = Terminal(24, 80, "-p", "slow", "remove", "3").until("waiting for the pool")
    remove.press(b"\x03")
    assert remove.until(None).status == -signal.SIGINT and "has not answered" in remove.text(), remove.text()


def check_words():
    """What top cannot do is refused before it draws."""
    for words, status in ((("--interval", "0.01"), 2), (("--interval", "x"), 2), (("--interval", "9999"), 2),
                          (("extra",), 2), ((), 1)):
        done = subprocess.run([MEMPLUG, "-p", "top-test", "top", *words], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == status and done.stderr, f"top {words}: {done}"
    assert subprocess.run([MEMPLUG, "-p", "none", "top"], capture_output=True, check=False).returncode == 3


def check_vanished():
    """A terminal that is gone ends it, though the hangup is ignored (nohup)."""
    top = Terminal(24, 80, "-p", "top-test", "top", "--interval", "0.1", hangup=signal.SIG_IGN,
                   NO_COLOR="1").until("a cell")
    os.close(top.fd)
    for _ in range(600):
        if os.waitpid(top.pid, os.WNOHANG)[0] != 0:
            return
        time.sleep(0.1)
    os.kill(top.pid, signal.SIGKILL)
    raise AssertionError("it goes on without its terminal")


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
        check_words()
        top = Terminal(24, 80, "-p", "top-test", "top", NO_COLOR="1").until("a cell")
        top.press(b"Q")
        assert top.until(None).status == 0
        check_vanished()
        check_progress(folder.name + "/run")
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
