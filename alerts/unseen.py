"""What becomes of a state while nobody looks: across a gap, and from one process to the next. Pure; times and stretches are ms."""

from msgspec.structs import replace

from alerts.state import Policy, State, reach_of, settled


def interrupted(state: State, policy: Policy, gap: int) -> State:
    """Return a state after ``gap`` ms that nobody saw: beyond the reach of a look, nothing that waited is joined to what follows."""
    return state if gap <= reach_of(policy) else _parted(state)


def resumed(state: State, *, now: int, steady: int) -> State:
    """Return a state that was read from its row, on the scale of who reads it at ``now`` of the wall clock, ``steady`` of its own time.

    A latest look that lies ahead of now means that the clock was set back since, nobody knows how long ago: it is joined to nothing.
    """
    ahead = state.last_at - now
    if ahead > 0:
        state = _parted(state)
    by = steady - now - max(ahead, 0)
    return replace(
        state,
        seen_steady=state.seen_steady + by,
        pending_last=state.pending_last + by,
        blind_last=state.blind_last + by,
        recent=state.recent.shifted(by),
    )


def _parted(state: State) -> State:
    """Return a state whose looks so far are counted together with none that follows."""
    return replace(settled(state), recent=state.recent.calm, blind_count=0, blind_held=0)
