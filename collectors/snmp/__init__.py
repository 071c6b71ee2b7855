"""Network devices by SNMP: ``Device`` polls one; its engine is behind ``session.Session``."""

from typing import Final

from collectors.snmp import interfaces, poll
from collectors.snmp.poll import Device, Polled
from collectors.snmp.session import Options

MEASUREMENTS: Final = frozenset({poll.MEASUREMENT, interfaces.MEASUREMENT})

__all__ = ["MEASUREMENTS", "Device", "Options", "Polled"]
