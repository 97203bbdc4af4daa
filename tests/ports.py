"""A port for the processes of a test to meet on."""

import secrets
import socket

#: Below the ports that the system gives to outgoing connections (from 32768 on Linux): one of those may be taken
#: between this look and its use, by any program on the machine.
FIRST, LAST = 12000, 32000


def free_port():
    """A port on which nobody listens, as a string; another one each time, and not of the seeded generators."""
    while True:
        port = FIRST + secrets.randbelow(LAST - FIRST)
        with socket.socket() as probe:
            try:
                probe.bind(('', port))
            except OSError:
                continue
        return str(port)
