"""The system calls that an engine lets a worker's container make: those of Python's start.

An engine's default profile allows some three hundred, among them io_uring and sockets to the
hypervisor; this list allows what the interpreter, NumPy and the launcher need until the launcher's
own filter stands, which leaves some twenty. What is not named, known or yet to be invented, fails
with EPERM. Names are those of Linux 6.1; an engine passes over those that its machine lacks.
"""

import json
from typing import Any

_FILES = """
    access chdir close close_range dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait
    epoll_wait eventfd2 faccessat faccessat2 fchdir fcntl fstat fstatfs getcwd getdents getdents64
    ioctl lseek lstat newfstatat open openat pipe pipe2 poll ppoll pread64 preadv preadv2 pselect6
    pwrite64 pwritev read readlink readlinkat readv select stat statfs statx write writev
"""
_MEMORY = "brk madvise membarrier mmap mprotect mremap munmap"
_PROCESSES = """
    arch_prctl capget capset execve exit exit_group fork getcpu getegid geteuid getgid getgroups
    getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid
    getuid kill landlock_add_rule landlock_create_ruleset landlock_restrict_self prctl prlimit64
    rseq sched_getaffinity sched_getparam sched_getscheduler sched_setaffinity sched_yield seccomp
    set_robust_list set_tid_address setrlimit setsid sysinfo tgkill times umask uname vfork wait4
    waitid
"""
_TIME_AND_SIGNALS = """
    clock_getres clock_gettime clock_nanosleep futex getrandom gettimeofday nanosleep pause
    restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend
    rt_sigtimedwait sigaltstack time
"""
_CUDA = ("get_mempolicy", "mincore", "mlock", "munlock")
ALLOWED = tuple(" ".join((_FILES, _MEMORY, _PROCESSES, _TIME_AND_SIGNALS)).split())
# Every CLONE_NEW* flag that `clone` can carry (Linux ``uapi/linux/sched.h``).
NEW_NAMESPACES = 0x7E020000
_ENOSYS = 38
# Each native architecture alone: neither 32-bit calls nor x32.
ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")


def profile(*, gpu: bool = False) -> dict[str, Any]:
    """Returns the profile in the form that Docker's interface takes.

    With ``gpu`` it allows what CUDA asks for besides, as far as that is known.
    """
    none_of_them = {
        "index": 0,
        "value": NEW_NAMESPACES,
        "valueTwo": 0,
        "op": "SCMP_CMP_MASKED_EQ",
    }
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": name, "subArchitectures": []} for name in ARCHITECTURES],
        "syscalls": [
            {"names": [*ALLOWED, *(_CUDA if gpu else ())], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [none_of_them]},
            # Its flags lie in memory, where no filter sees them; libraries then use `clone`.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
        ],
    }


def security_option(*, gpu: bool = False) -> str:
    """Returns the profile as an engine's option: its text itself, not the name of a file."""
    return "seccomp=" + json.dumps(profile(gpu=gpu), separators=(",", ":"))
