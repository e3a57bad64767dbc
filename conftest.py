"""For tests and for examples in docstrings: seconds are predicted for the machine of the cost table.

Whoever has run ``skfhe bench`` has a file that says otherwise, and what tests compare must not hang on it.
"""

import os

os.environ["SKFHE_MACHINE"] = "off"
