"""The runner with shorter waits: the same app, the same code, the times in which a crash is noticed divided by forty.

The product waits minutes on purpose, for stores and machines that are slow; here all of them are on this machine. The
order of the waits stays as it is: an attempt sends for less time than another takes for quiet. What is a setting is set
as one (`victims.WAITS`); what follows here is a constant. Arguments are the runner's.
"""

import sys
from datetime import timedelta

from functions import host
from local.runner import __main__ as runner
from local.runner import queues
from shared import deletion, plan

deletion.SEND_WITHIN = timedelta(seconds=3)  # from 2 minutes
deletion.ANSWER_WITHIN = 3.0  # from 120 seconds
deletion.ON_ITS_WAY = timedelta(seconds=7)  # from 5 minutes
plan.JITTER = timedelta(seconds=57)  # from 30: with a cadence of a minute, a run every three seconds
host.PAUSE_SECONDS = 1  # from 30: before a dead letter comes again
queues._LONGEST_PAUSE_SECONDS = 1.0  # from 10: the runner's own, before it looks for a broker that is away

if __name__ == "__main__":
    sys.exit(runner.main())
