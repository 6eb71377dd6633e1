"""The settings that an agent of a play gets."""

from pathlib import Path

import pytest

from edge_agent.settings import AgentSettings
from shared.settings import load
from simulators.agents import start_agent
from simulators.centre import Api, CentreAddress
from simulators.engines import PlayedEngine
from simulators.folder import PlayFolder

KEY = "A" * 43 + "="


class Started:
    def start(self, _name, *command):
        self.config = command[-1]


@pytest.mark.parametrize("key", [KEY, None])
def test_an_agent_obeys_the_centre_whose_key_is_known(tmp_path, key):
    folder, programs = PlayFolder(tmp_path), Started()
    folder.agents.mkdir()
    address = CentreAddress(Api("http://127.0.0.1:8000"), "127.0.0.1", 1883, 3, key)
    start_agent(programs, folder, "demo", PlayedEngine("E-1", 1, iter(())), address)
    settings = load(AgentSettings, Path(programs.config))
    assert (settings.centre_key, settings.gateway, settings.broker.port) == (key, "gw-E-1", 1883)
