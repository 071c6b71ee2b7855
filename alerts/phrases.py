"""Phrases of messages, once per language; ``{}`` places are filled by ``alerts.message``."""

from typing import Final

import msgspec

from alerts.words import Language


class Phrases(msgspec.Struct, frozen=True):
    """Everything a message says besides names, reasons, times and what the inventory knows."""

    down: str
    degraded: str
    worse: str
    affected: str
    users: str
    todo: str
    call: str
    since: str
    cause: str
    detail: str
    phases: str
    seconds: str
    point: str
    last_up: str
    runbook: str
    recovered: str
    recovered_title: str
    brief: str
    brief_title: str
    retired: str
    retired_title: str
    closed: str
    was_affected: str
    nothing_urgent: str
    lasted: str
    link: str
    repeated: str


PHRASES: Final[dict[Language, Phrases]] = {
    "id": Phrases(
        down="{} tidak dapat diakses",
        degraded="{} menurun: tidak bekerja sebaik biasanya",
        worse="memburuk, sekarang {}",
        affected="Terdampak: {}.",
        users="pengguna {}",
        todo="Langkah: {}",
        call="Hubungi: {}.",
        since="Sejak {}.",
        cause="Sebab: {}.",
        detail="Rincian: {}",
        phases="Waktu tiap tahap: {}",
        seconds="{} dtk",
        point=",",
        last_up="Terakhir baik: {}",
        runbook="Panduan: {}",
        recovered="{} sudah berfungsi kembali.",
        recovered_title="✅ PULIH · {}",
        brief="{} sempat gangguan {}, sudah pulih.",
        brief_title="✅ SEMPAT GANGGUAN, SUDAH PULIH · {}",
        retired="{} tidak dipantau lagi.",
        retired_title="⏹️ DINONAKTIFKAN · {}",
        closed="Gangguan {} ditutup tanpa pemulihan yang terlihat.",
        was_affected="Terdampak sebelumnya: {}.",
        nothing_urgent="Langkah: tidak ada yang mendesak; catat penyebabnya bila sudah diketahui.",
        lasted="Lama gangguan: {} ({}).",
        link="Buka: {}",
        repeated="(mungkin terkirim ganda)",
    ),
    "en": Phrases(
        down="{} cannot be used",
        degraded="{} is degraded: it does not work as well as usual",
        worse="got worse, now {}",
        affected="Affected: {}.",
        users="users of {}",
        todo="To do: {}",
        call="Call: {}.",
        since="Since {}.",
        cause="Cause: {}.",
        detail="Detail: {}",
        phases="Time per phase: {}",
        seconds="{} s",
        point=".",
        last_up="Last good: {}",
        runbook="Runbook: {}",
        recovered="{} works again.",
        recovered_title="✅ RECOVERED · {}",
        brief="{} was disrupted {} and has recovered.",
        brief_title="✅ WAS DISRUPTED, HAS RECOVERED · {}",
        retired="{} is not watched any more.",
        retired_title="⏹️ RETIRED · {}",
        closed="The outage {} is closed; no recovery was seen.",
        was_affected="Was affected: {}.",
        nothing_urgent="To do: nothing urgent; note the cause once it is known.",
        lasted="It lasted {} ({}).",
        link="Open: {}",
        repeated="(may have been sent twice)",
    ),
}
