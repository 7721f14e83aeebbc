"""What the kernel refuses: one line of a program each, tried one after the other in one worker.

A line that gets something returns it. A dry line stops short of harm: its arguments are wrong, so a
kernel that lets the call through says so with an error of its own, which counts as reached.
"""

import platform
from dataclasses import dataclass

# How a probe shows its hole where nothing confines it.
INSIDE = "throw-away namespaces"  # a machine of its own that ends with the probe
HERE = "this machine"  # harmless here, and needs the test's own listeners
ROOT = "throw-away namespaces, as root"  # an ordinary user is refused by any kernel


@dataclass(frozen=True)
class Probe:
    """A line of a program, which attack it belongs to, and where its positive control runs.

    ``missing`` says why a kernel may have nothing that could be reached: then the control must
    fail with one of ``errors``.
    """

    attack: int
    line: str
    control: str = INSIDE
    missing: str = ""
    errors: tuple[str, ...] = ()


PRELUDE = """
load = np.linalg.__dict__["__builtins__"]["__import__"]
open_ = np.linalg.__dict__["__builtins__"]["open"]
os, sys, socket, ctypes, mmap = map(load, ["os", "sys", "socket", "ctypes", "mmap"])

def dry(reached, *values):
    library = ctypes.CDLL(None, use_errno=True)
    values = [ctypes.c_long(v) if type(v) is int else v for v in values]
    result = library.syscall(*values)
    error = ctypes.get_errno()
    if result < 0 and error not in reached:
        raise OSError(error, "refused")
    return "reached"

def raw(*values):
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    result = library.syscall(*[ctypes.c_long(v) if type(v) is int else v for v in values])
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

kept = []

def page():
    kept.append(mmap.mmap(-1, 8192))
    kept.append(ctypes.c_char.from_buffer(kept[-1]))
    return ctypes.addressof(kept[-1])

def create(path):
    return os.open(path, os.O_CREAT | os.O_WRONLY)

def plainly(text, path):
    names = {"__builtins__": load("builtins").__dict__, "np": load("numpy"), "path": path}
    return load("builtins").eval(text, names)

def outside(name):
    frame = sys._getframe(1)
    while frame is not None:
        for names in (frame.f_locals, frame.f_globals):
            if name in names:
                return names[name]
        frame = frame.f_back
    return None

def place(memory):
    kept.append(ctypes.c_char.from_buffer(memory))
    return (ctypes.addressof(kept[-1]) + 4095) & -4096

def environments(numbers):
    return [n for n in numbers if b"CANARY" in open_(f"/proc/{n}/environ", "rb").read()][0]

def child(number):
    if number == 0:
        os._exit(0)
    return os.waitpid(number, 0)

def back_to_normal(result):
    os.sched_setscheduler(0, 0, os.sched_param(0))
    return "reached"
"""

_ENOSYS = ("Errno 38",)
_NO_FAMILY = ("Errno 97", "Errno 93", "Errno 94")

PROBES: dict[str, Probe] = {
    "read a private key": Probe(1, "os.open(FOLDER + '/.ssh/id_ed25519', 0)"),
    "read a key by the builtin": Probe(1, "open_(CANARY_FILE).read()"),
    "look whether a file is there": Probe(1, "os.stat(CANARY_FILE)"),
    "list a home": Probe(1, "os.listdir(FOLDER)"),
    "read the shadow file": Probe(2, "os.open('/etc/shadow', 0)", ROOT),
    "read every environment": Probe(
        4, "environments([p for p in os.listdir('/proc') if p.isdigit()])"),
    "read the parent's environment": Probe(4, "environments([PARENT])"),
    "read the first process's environment": Probe(4, "open_('/proc/1/environ', 'rb').read()"),
    "read its own environment as a file": Probe(4, "open_('/proc/self/environ', 'rb').read()"),
    "walk through the root of process 1": Probe(5, "os.listdir('/proc/1/root')"),
    "walk up from its own folder": Probe(5, "os.listdir('/proc/self/cwd/..')"),
    "go through its own descriptors": Probe(5, "os.listdir('/proc/self/fd')"),
    "connect": Probe(7, "socket.create_connection(('127.0.0.1', TCP_PORT), 1)", HERE),
    "send a datagram": Probe(
        8, "socket.socket(2, 2).sendto(b'x', ('127.0.0.1', UDP_PORT))", HERE),
    "resolve a name": Probe(8, "socket.socket(2, 2).connect(('127.0.0.1', 53))", HERE),
    "connect to the engine": Probe(
        9, "socket.socket(socket.AF_UNIX).connect(ENGINE_SOCKET) or 'connected'", HERE),
    "connect to an abstract socket": Probe(
        10, "socket.socket(socket.AF_UNIX).connect('\\0' + ABSTRACT) or 'connected'", HERE),
    "netlink socket": Probe(11, "socket.socket(16, 3, 0)"),
    "packet socket": Probe(11, "socket.socket(17, 3, 0)"),
    "crypto socket": Probe(
        11, "socket.socket(38, 5, 0)", missing="not in every kernel", errors=_NO_FAMILY),
    "machine socket": Probe(
        11, "socket.socket(40, 1, 0)", missing="not in every kernel", errors=_NO_FAMILY),
    "raw socket": Probe(11, "socket.socket(2, 3, 1)"),
    "socket pair": Probe(11, "socket.socketpair()"),
    "set up io_uring": Probe(
        12, "dry((14,), 425, 1, 0)", missing="switched off in some kernels",
        errors=("Errno 1", "Errno 38")),
    "start a thread": Probe(13, "load('_thread').start_new_thread(len, ((),))"),
    "start processes": Probe(13, "[child(os.fork()) for _ in range(20)]"),
    "memory file": Probe(15, "os.memfd_create('x')"),
    "secret memory": Probe(
        15, "raw(447, 0)", missing="switched off in most kernels", errors=_ENOSYS),
    "write a large file": Probe(17, "os.pwrite(create(FOLDER + '/big'), b'x', 10**11)"),
    "make a file": Probe(18, "[create(FOLDER + '/' + str(n)) for n in range(50)]"),
    "make a folder": Probe(18, "os.mkdir(FOLDER + '/folder') or 'made'"),
    "make a file without a name": Probe(18, "os.open(FOLDER, os.O_TMPFILE | os.O_RDWR)"),
    "fill the shared memory folder": Probe(19, "create('/dev/shm/x')"),
    "handle signals": Probe(22, "load('signal').signal(15, load('signal').SIG_IGN) or 'handled'"),
    "lower its niceness": Probe(24, "os.nice(-5)", ROOT),
    "take a real-time scheduler": Probe(
        24, "back_to_normal(os.sched_setscheduler(0, 1, os.sched_param(1)))", ROOT),
    "take every core": Probe(24, "os.sched_setaffinity(0, {0}) or 'taken'"),
    "fork": Probe(29, "child(os.fork())"),
    "clone": Probe(29, "child(raw(56, 17, 0, 0, 0, 0))"),
    "start a session": Probe(29, "raw(112)"),
    "start a group": Probe(29, "dry((22,), 109, 0, -1)"),
    "execute a program": Probe(29, "dry((2, 14), 59, b'/nowhere', 0, 0)"),
    "execute from a descriptor": Probe(29, "dry((2, 9, 14), 322, -1, b'', 0, 0, 0x1000)"),
    "leave a thread": Probe(30, "load('threading').Thread(target=len, args=((),)).start() or 1"),
    "make a user namespace": Probe(31, "dry((22,), 272, 0x10000001)"),
    "make a namespace by clone": Probe(31, "dry((22,), 56, 0x10000200, 0, 0, 0, 0)"),
    "make a namespace by clone3": Probe(31, "dry((22, 14), 435, 0, 0)"),
    "enter a namespace": Probe(31, "dry((9,), 308, -1, 0)"),
    "mount": Probe(31, "dry((19,), 165, b'none', FOLDER_BYTES, b'nosuchfs', 0, 0)"),
    "mount by the new interface": Probe(31, "dry((19,), 430, b'nosuchfs', 0)"),
    "open a tree": Probe(31, "dry((2, 9), 428, -1, b'nowhere', 1)"),
    "move a mount": Probe(31, "dry((2, 9, 22), 429, -1, b'', -1, b'', 4)"),
    "unmount": Probe(31, "dry((2,), 166, b'/nowhere', 0)"),
    "change the root": Probe(31, "dry((2,), 161, b'/nowhere')"),
    "swap the root": Probe(31, "dry((2,), 155, b'/nowhere', b'/nowhere')"),
    "change core_pattern": Probe(32, "os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)", ROOT),
    "trigger by sysrq": Probe(
        32, "os.open('/proc/sysrq-trigger', os.O_WRONLY)", ROOT, "not in every kernel",
        ("Errno 2",)),
    "open a disk": Probe(
        33, "os.open('/dev/vda', 0)", ROOT, "none, or kept from root", ("Errno 2", "Errno 1")),
    "open the kernel's memory": Probe(
        33, "os.open('/dev/mem', 0)", ROOT, "no such device", ("Errno 2",)),
    "open virtual machines": Probe(
        33, "os.open('/dev/kvm', os.O_RDWR)", ROOT, "no such device", ("Errno 2", "Errno 19")),
    "make a device": Probe(
        33, "os.mknod(FOLDER + '/null', 0o20666, os.makedev(1, 3)) or 'made'", ROOT),
    "make a fifo": Probe(33, "os.mkfifo(FOLDER + '/fifo') or 'made'"),
    "open the terminal": Probe(34, "dry((6,), 2, b'/dev/tty', 2)"),
    "push into the terminal": Probe(34, "dry((25,), 16, 0, 0x5412, b'x')"),
    "push into the terminal past a filter": Probe(34, "dry((25,), 16, 0, 0x100005412, b'x')"),
    "make a symbolic link": Probe(35, "os.symlink('/etc/passwd', FOLDER + '/result') or 'made'"),
    "move a folder": Probe(36, "os.rename(FOLDER + '/.ssh', FOLDER + '/out') or 'moved'"),
    "move where it stands": Probe(36, "os.chdir(FOLDER) or 'moved'"),
    "make a hard link": Probe(37, "os.link(CANARY_FILE, FOLDER + '/link') or 'made'"),
    "use a name of 4 KB": Probe(38, "dry((36,), 2, b'x' * 5000, 0)"),
    "use a name of two lines": Probe(38, "create(FOLDER + '/a\\nb')"),
    "plant numpy": Probe(66, "create(FOLDER + '/numpy.py')"),
    "plant a module where it stands": Probe(66, "os.chdir(FOLDER) or create('sitecustomize.py')"),
    "plant a path file": Probe(66, "create(FOLDER + '/x.pth')"),
    "write byte code": Probe(67, "os.makedirs(FOLDER + '/__pycache__') or 'made'"),
    "write a cache": Probe(67, "load('_io').open(FOLDER + '/cache', 'wb').write(b'x')"),
    "truncate a file": Probe(67, "os.truncate(CANARY_FILE, 0) or 'emptied'"),
    "delete a file": Probe(67, "os.unlink(FOLDER + '/spare') or 'deleted'"),
    "executable memory": Probe(69, "mmap.mmap(-1, 4096, prot=7)"),
    "memory that becomes executable": Probe(69, "raw(10, page(), 4096, 5)"),
    "memory that becomes executable by key": Probe(69, "raw(329, page(), 4096, 5, -1)"),
    "read implies execute": Probe(69, "raw(135, 0xffffffff)"),
    "a filter of its own": Probe(69, "dry((14,), 317, 1, 0, 0)"),
    "switch its options": Probe(69, "raw(157, 3, 0, 0, 0, 0)"),
    "load a library": Probe(69, "ctypes.CDLL('libanl.so.1')"),
    "memmap": Probe(70, "load('numpy').memmap(CANARY_FILE)"),
    "fromfile": Probe(70, "plainly('np.fromfile(path)', CANARY_FILE)"),
    "save": Probe(70, "plainly('np.arange(3).tofile(path)', FOLDER + '/array') or 'saved'"),
    "read what another left": Probe(76, "os.listdir('/tmp')"),
    "keyring": Probe(76, "raw(250, 0, -3, 0)", missing="not in every kernel", errors=_ENOSYS),
    "add a key": Probe(
        76, "raw(248, b'user', b'x', b'y', 1, -2)", missing="not in every kernel", errors=_ENOSYS),
    "shared memory of System V": Probe(76, "raw(29, 0, 4096, 0o1666)"),
    "queue of System V": Probe(76, "raw(68, 0, 0o1666)"),
    "semaphore of System V": Probe(76, "raw(64, 0, 1, 0o1666)"),
    "message queue": Probe(76, "raw(240, b'x', 0o102, 0o600, 0)"),
    "protect itself from the kernel": Probe(77, "os.open('/proc/self/oom_score_adj', os.O_WRONLY)"),
    "lock its memory": Probe(77, "raw(149, page(), 4096)"),
    "close the protocol": Probe(78, "dry((9,), 3, 9999)"),
    "wait for ever": Probe(78, "raw(7, 0, 0, 1)"),
    "name of the machine": Probe(97, "os.uname()"),
    "load of the machine": Probe(97, "raw(99, (ctypes.c_char * 512)())"),
    "users of the machine": Probe(97, "os.open('/etc/passwd', 0)"),
    "its own memory map": Probe(97, "os.open('/proc/self/maps', 0)"),
    "the kernel's log": Probe(97, "raw(103, 10, 0, 0)", ROOT),
    "signal its parent": Probe(98, "os.kill(PARENT, 0) or 'reached'"),
    "signal everybody": Probe(98, "os.kill(-1, 0) or 'reached'"),
    "signal a thread": Probe(98, "raw(234, PARENT, PARENT, 0)"),
    "trace": Probe(98, "dry((3,), 101, 3, 999999, 0, 0)"),
    "read another process": Probe(98, "raw(310, PARENT, 0, 0, 0, 0, 0)"),
    "write another process": Probe(98, "raw(311, PARENT, 0, 0, 0, 0, 0)"),
    "hold another process": Probe(98, "raw(434, PARENT, 0)"),
    "take a descriptor of another process": Probe(98, "dry((9,), 438, -1, 0, 0)"),
    "compare processes": Probe(
        98, "raw(312, os.getpid(), os.getpid(), 1, 0, 0)", missing="not in every kernel",
        errors=_ENOSYS),
    "limits of another process": Probe(98, "raw(302, PARENT, 7, 0, (ctypes.c_char * 16)())"),
    "raise its own limits": Probe(98, "load('resource').setrlimit(7, (512, 512)) or 'set'"),
    "map a kernel program": Probe(
        98, "dry((14, 22), 321, 0, 0, 0)", ROOT, "not in every kernel", _ENOSYS),
    "count events of the processor": Probe(
        98, "dry((14,), 298, 0, 0, -1, -1, 0)", missing="not in every kernel",
        errors=(*_ENOSYS, "Errno 1")),
    "handle page faults": Probe(
        98, "raw(323, 0)", ROOT, "not in every kernel", _ENOSYS),
    "set the clock": Probe(98, "dry((22,), 227, 999, 0)"),
    "pipe": Probe(99, "os.pipe()"),
    "copy a descriptor": Probe(99, "os.dup(0)"),
    "event counter": Probe(99, "raw(290, 0, 0)"),
    "timer": Probe(99, "raw(283, 1, 0)"),
    "watch files": Probe(99, "raw(253)"),
    "poll set": Probe(99, "raw(291, 0)"),
    "random numbers": Probe(99, "os.getrandom(8)"),
    "sleep": Probe(99, "load('time').sleep(0.001) or 'slept'"),
}  # fmt: skip
if platform.machine() != "x86_64":  # the numbers are its own
    PROBES = {
        name: probe
        for name, probe in PROBES.items()
        if "raw(" not in probe.line and "dry(" not in probe.line
    }
