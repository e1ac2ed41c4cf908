import pytest

from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.track.config import TRACKERS, MlflowConfig
from bitq.track.tracker import Tracker


@pytest.mark.parametrize("name", list(TRACKERS))
def test_every_tracker_has_its_name_as_default_and_can_be_made(name):
    config = TRACKERS[name].config()
    assert config.name == name
    validate(config, "track")
    assert isinstance(TRACKERS.create(config), Tracker)


@pytest.mark.parametrize("folder", ["", "file:///x", "http://host"])
def test_an_address_is_no_folder(folder):
    with pytest.raises(ConfigError, match=r"track\.folder: must be a folder"):
        validate(MlflowConfig(folder=folder), "track")
