"""One agent on a data folder, though others may look whether it runs."""

import asyncio
import fcntl

from edge_agent.app import LOCK_PAUSE_S, _only_agent
from edge_agent.status import LOCK_FILE


async def test_a_start_outlasts_a_look_at_the_status_without_blocking_the_loop(tmp_path):
    async def start():
        async with _only_agent(tmp_path):
            pass

    with (tmp_path / LOCK_FILE).open("w") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        starting = asyncio.create_task(start())
        await asyncio.sleep(LOCK_PAUSE_S / 2)
        assert not starting.done()
        fcntl.flock(look, fcntl.LOCK_UN)
        await asyncio.wait_for(starting, 30)
