"""Tries what a daemon has no business with, and prints what came of each: `NAME: done`, or `NAME: ERRNO`.

    attempts.py FILE [NAME...]    FILE is one that may be written; without names everything is tried
"""

import ctypes
import errno
import mmap
import os
import socket
import stat
import sys

import seccomp

LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    number = seccomp.resolve_syscall(seccomp.Arch(), name)
    if LIBC.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def executable_page():
    page = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    call("mprotect", ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)


def others():
    seen = [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    if not seen:
        raise OSError(errno.ESRCH, "nobody else")


ATTEMPTS = {
    "write where others read": lambda: open("/usr/planted", "w").close(),
    "a device": lambda: os.mknod(f"{FILE}.device", 0o600 | stat.S_IFCHR, os.makedev(1, 1)),
    "see other processes": others,
    "memory to write and execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "memory made executable": executable_page,
    "a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "another user": lambda: os.setuid(os.getuid()),
    "a set-user-id bit": lambda: os.chmod(FILE, 0o4755),
    "a namespace": lambda: call("unshare", 0x10000000),
    "a mount": lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "another's debugger": lambda: call("ptrace", 0, 0, 0, 0),
    "a program in the kernel": lambda: call("bpf", 0, None, 0),
    "a keyring": lambda: call("keyctl", 0, -3, 0),
    "io_uring": lambda: call("io_uring_setup", 0, None),
    "the clock": lambda: call("adjtimex", ctypes.create_string_buffer(512)),
    "the host's name": lambda: call("sethostname", b"planted", 7),
    "locked memory": lambda: call("munlockall"),
}


def tried(name):
    try:
        ATTEMPTS[name]()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"


if __name__ == "__main__":
    FILE = sys.argv[1]
    for chosen in sys.argv[2:] or ATTEMPTS:
        print(f"{chosen}: {tried(chosen)}")
