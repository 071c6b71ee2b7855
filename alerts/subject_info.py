"""What the inventory and the settings say of one subject as seen by one check; messages and routes are made from it."""

import msgspec


class SubjectInfo(msgspec.Struct, frozen=True):
    """Who and what stands behind a subject; every text may be empty.

    ``name`` is what people call it, ``agency`` the id of its agency (OPD); ``criticality`` is 5, 3 or 1. ``meaning`` says what is
    broken when this check fails, ``impact`` who is affected, ``todo`` what to do first; ``contact`` is whom to call.
    """

    name: str
    agency: str = ""
    agency_name: str = ""
    criticality: int = 3
    meaning: str = ""
    impact: str = ""
    todo: str = ""
    contact: str = ""
    runbook: str = ""
