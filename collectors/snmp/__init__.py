"""Network devices by SNMP: ``Device`` polls one; its engine is behind ``session.Session``."""

from collectors.snmp.poll import Device, Polled
from collectors.snmp.session import Options

__all__ = ["Device", "Options", "Polled"]
