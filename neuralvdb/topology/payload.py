"""What a topology is decoded from."""

from __future__ import annotations

from neuralvdb.dataclass import dataclass
from neuralvdb.topology.masks import Topology


@dataclass(frozen=True, kw_only=True)
class TopologyPayload:
    """The content of a section TOPO.

    codec: how it is coded, 0 to 3.
    payload: its bytes.
    declared: bytes that the decoded arrays take, at most.
    where: what errors name.
    """

    codec: int
    payload: bytes
    declared: int
    where: str


@dataclass(frozen=True)
class Reference:
    """A topology from which another one is coded, and the number of its grid, which the payload holds."""

    grid: int
    topology: Topology
