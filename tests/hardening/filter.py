"""The filters of system calls that a unit asks systemd for, as BPF programs for `bwrap --add-seccomp-fd`.

    filter.py UNIT FOLDER [LINE...]    writes FOLDER/calls.bpf and FOLDER/arguments.bpf
    filter.py UNIT                     prints the names of the calls that are allowed

They are made from the unit's own lines (and from LINE, as if it stood in the unit) with systemd's groups and with
libseccomp, which is what systemd itself makes them with: calls.bpf is SystemCallFilter= and SystemCallArchitectures=,
arguments.bpf is RestrictAddressFamilies=, MemoryDenyWriteExecute=, RestrictNamespaces=, RestrictSUIDSGID= and LockPersonality=.
"""

import errno
import functools
import mmap
import socket
import stat
import subprocess
import sys

import seccomp
from seccomp import ALLOW, EQ, ERRNO, GE, MASKED_EQ, NE, Arg

NAMESPACES = {
    "NEWTIME": 0x80, "NEWNS": 0x20000, "NEWCGROUP": 0x2000000, "NEWUTS": 0x4000000, "NEWIPC": 0x8000000,
    "NEWUSER": 0x10000000, "NEWPID": 0x20000000, "NEWNET": 0x40000000,
}
FAMILY_MAX = 46
SHM_EXEC = 0o100000


def main(unit, folder=None, *more):
    with open(unit, encoding="utf-8") as file:
        lines = [line.strip() for line in file] + list(more)
    allowed = allowed_calls(values(lines, "SystemCallFilter"))
    if folder is None:
        print("\n".join(sorted(allowed)))
        return
    if values(lines, "SystemCallArchitectures") != ["native"]:
        sys.exit("this knows SystemCallArchitectures=native only")
    write(calls(lines, allowed), f"{folder}/calls.bpf")
    write(arguments(lines), f"{folder}/arguments.bpf")


def values(lines, key):
    return [line.split("=", 1)[1] for line in lines if line.startswith(f"{key}=")]


@functools.cache
def group(name):
    shown = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True)
    members = [line.strip() for line in shown.stdout.splitlines()[1:]]
    return frozenset(name for member in members if member and not member.startswith("#") for name in expanded(member))


def expanded(word):
    return group(word) if word.startswith("@") else {word}


def allowed_calls(lists):
    if not lists or lists[0].startswith("~"):
        sys.exit("this knows a SystemCallFilter= that begins with what is allowed only")
    allowed = set(group("@default"))
    for words in lists:
        named = {name for word in words.lstrip("~").split() for name in expanded(word)}
        allowed = allowed - named if words.startswith("~") else allowed | named
    return allowed


def calls(lines, allowed):
    number = getattr(errno, values(lines, "SystemCallErrorNumber")[-1])
    program = seccomp.SyscallFilter(defaction=ERRNO(number))
    for name in sorted(allowed):
        add(program, ALLOW, name)
    return program


def arguments(lines):
    program = seccomp.SyscallFilter(defaction=ALLOW)
    is_on = lambda key: values(lines, key)[-1:] == ["yes"]
    families = {int(getattr(socket, name)) for words in values(lines, "RestrictAddressFamilies") for name in words.split()}
    if families:
        refused = ERRNO(errno.EAFNOSUPPORT)
        for family in set(range(FAMILY_MAX)) - families:
            add(program, refused, "socket", Arg(0, EQ, family))
        add(program, refused, "socket", Arg(0, GE, FAMILY_MAX))
    refused = ERRNO(errno.EPERM)
    if is_on("MemoryDenyWriteExecute"):
        both = mmap.PROT_WRITE | mmap.PROT_EXEC
        add(program, refused, "mmap", Arg(2, MASKED_EQ, both, both))
        add(program, refused, "mprotect", Arg(2, MASKED_EQ, mmap.PROT_EXEC, mmap.PROT_EXEC))
        add(program, refused, "pkey_mprotect", Arg(2, MASKED_EQ, mmap.PROT_EXEC, mmap.PROT_EXEC))
        add(program, refused, "shmat", Arg(2, MASKED_EQ, SHM_EXEC, SHM_EXEC))
    if is_on("RestrictNamespaces"):
        # Its flags are in memory, where no filter can look: libc goes on with clone.
        add(program, ERRNO(errno.ENOSYS), "clone3")
        add(program, refused, "setns")
        for flag in NAMESPACES.values():
            add(program, refused, "clone", Arg(0, MASKED_EQ, flag, flag))
            add(program, refused, "unshare", Arg(0, MASKED_EQ, flag, flag))
    if is_on("RestrictSUIDSGID"):
        for bit in (stat.S_ISUID, stat.S_ISGID):
            for name, place in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2)):
                add(program, refused, name, Arg(place, MASKED_EQ, bit, bit))
    if is_on("LockPersonality"):
        add(program, refused, "personality", Arg(0, NE, 0))
    return program


def add(program, action, name, *conditions):
    # A group has calls of all architectures in it; systemd leaves out what this one does not have as well.
    if seccomp.resolve_syscall(seccomp.Arch(), name) >= 0:
        program.add_rule(action, name, *conditions)


def write(program, path):
    with open(path, "wb") as file:
        program.export_bpf(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
