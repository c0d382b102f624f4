"""`python -m local up | down | azurite | cosmos | servicebus | runner`: see `local.up`."""

import sys

from local.up import main

sys.exit(main())
