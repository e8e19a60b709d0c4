"""What pages are made of."""

from pathlib import Path
from types import SimpleNamespace

from lorp.expert_load import ExpertLoad
from lorp.values import encode
from tasks.report import _expert_loads
from tasks.store import FolderStore
from tasks.vault import Vault


def test_loads_are_compared_where_source_and_variant_have_experts(tmp_path: Path) -> None:
    vault = Vault(FolderStore(tmp_path))
    loads = [ExpertLoad(checkpoint=name, windows_sha256="w", choices=((), (3, 1))) for name in "ab"]
    kept = [vault.put("values", encode(load), ".json") for load in loads]
    both = {"dense_expert_load": kept[0], "pruned_expert_load": kept[1]}
    assert _expert_loads(vault, SimpleNamespace(expert_loads=both)) == tuple(loads)
    for one in both.items():
        assert _expert_loads(vault, SimpleNamespace(expert_loads=dict([one]))) is None
    assert _expert_loads(vault, SimpleNamespace(expert_loads={})) is None
