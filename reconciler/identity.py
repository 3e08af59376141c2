"""Who runs this process, and where. The rule here: there is always an answer, whatever the machine knows of its users."""

import getpass
import os
import socket


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return str(os.getuid())


def host() -> str:
    return socket.gethostname()
