import pytest

from bitq.core.errors import BitqError, ConfigError
from bitq.search.storage import leased


def test_a_journal_has_one_owner_at_a_time_and_nobody_else_is_alive(tmp_path):
    with leased(tmp_path, "journal") as lease:
        assert not lease.shared
        assert not lease.alive(lease.owner)
        with pytest.raises(BitqError, match="in use by another process"), leased(tmp_path, "journal"):
            pass
    with leased(tmp_path, "journal"):
        pass


@pytest.mark.parametrize("address", ["sqlite:///study.db", "mysql://user:secret@host/db"])
def test_other_databases_are_refused_without_showing_passwords(tmp_path, address):
    with pytest.raises(ConfigError, match=r"search\.storage: 'journal' or a postgresql address") as caught:
        leased(tmp_path, address).__enter__()
    assert "secret" not in str(caught.value)
