"""What the tests, and the notebook kernels that nbval starts from them, find in their environment."""

import os

from clipnb.runtime import NOTEBOOK_ENV, ROOT

os.environ.update(NOTEBOOK_ENV)
# A kernel starts in the notebook's folder: only an absolute path lets it import this clipnb, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
