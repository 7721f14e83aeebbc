"""What attacks look for: files that all may read, and listeners that all may reach."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rewardsmith.sandbox.conformance import CANARY


@dataclass(frozen=True)
class Bait:
    """A folder with files that all may read, and listeners that all may reach."""

    folder: Path
    words: dict[str, str]

    def files(self) -> set[str]:
        """Everything in the folder."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


@contextmanager
def laid_out() -> Iterator[Bait]:
    """Lays it out, for as long as it is needed."""
    with ExitStack() as held:
        # A short path for the socket, and open to other users on the way.
        place = held.enter_context(tempfile.TemporaryDirectory(prefix="bait-", dir="/tmp"))
        folder = Path(place)
        folder.chmod(0o777)
        (folder / ".ssh").mkdir()
        for name in ("secret", "spare", ".ssh/id_ed25519"):
            (folder / name).write_text(CANARY)
        tcp = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        local = held.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(f"{place}/engine.sock")
        abstract = held.enter_context(socket.socket(socket.AF_UNIX))
        name = f"attacks-{os.getpid()}-{tcp.getsockname()[1]}"
        abstract.bind(f"\0{name}")
        for one in (local, abstract):
            one.listen(8)
        Path(place, "engine.sock").chmod(0o777)
        yield Bait(
            folder,
            {
                "CANARY_FILE": repr(f"{place}/secret"),
                "FOLDER_BYTES": repr(place.encode()),
                "FOLDER": repr(place),
                "TCP_PORT": str(tcp.getsockname()[1]),
                "UDP_PORT": str(udp.getsockname()[1]),
                "ENGINE_SOCKET": repr(f"{place}/engine.sock"),
                "ABSTRACT": repr(name),
                "PARENT": str(os.getpid()),
            },
        )
