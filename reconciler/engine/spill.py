"""What a job keeps on the disk of this machine (TMPDIR) for a while. The rule here: it is found by the job's id, also after the process has died."""

import shutil
import tempfile
from pathlib import Path


def spill(job: str) -> Path:
    """A new folder that nobody else may look into. Raises OSError."""
    return Path(tempfile.mkdtemp(prefix=f"reconciler-{job}-"))


def remove_spills(job: str) -> None:
    """Of this process and of those before; raises nothing."""
    for left in Path(tempfile.gettempdir()).glob(f"reconciler-{job}-*") if job else ():
        shutil.rmtree(left, ignore_errors=True)
