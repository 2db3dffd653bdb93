"""The environment of the tests, and of the notebook kernels that nbval starts from them."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Set before torch is imported. Two processes with two threads each, on two cores, would spend
    # most of their time waiting for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from clipnb.runtime import NOTEBOOK_ENV, ROOT

os.environ.update(NOTEBOOK_ENV)
# A kernel starts in the notebook's folder. It imports this clipnb only by an absolute path.
paths = [str(ROOT), os.environ.get("PYTHONPATH")]
os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
