"""What the doctor found, in Indonesian (``id``) and English (``en``), with the commands that mend it."""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from configs.terminal import shown

Language = Literal["id", "en"]
Level = Literal["well", "note", "bad"]

_SIGNS: Final = {"well": "✓", "note": "·", "bad": "✗"}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. ``what`` is a key of the words below, ``mend`` are commands to type, in order."""

    level: Level
    what: str
    values: Mapping[str, str | int | float] = {}
    mend: tuple[str, ...] = ()


def tell(finding: Finding, lang: Language) -> str:
    """Return the finding as lines of text."""
    words = shown(WORDS[finding.what][lang].format(**finding.values))
    return "\n".join([f"{_SIGNS[finding.level]} {words}", *(f"    → {command}" for command in finding.mend)])


WORDS: Final[dict[str, dict[Language, str]]] = {
    "settings": {"id": "setelan {file} dapat dipakai", "en": "settings {file} can be used"},
    "settings_bad": {"id": "setelan tidak dapat dipakai: {why}", "en": "the settings cannot be used: {why}"},
    "settings_missing": {
        "id": "belum ada setelan {file}; minta token sekali pakai kepada pengelola pusat",
        "en": "there are no settings {file} yet; ask whoever runs the centre for a one-time token",
    },
    "token": {"id": "token terbaca", "en": "the token can be read"},
    "token_none": {
        "id": "tidak ada token di [output]; pusat Pantau tidak menerima data tanpa token",
        "en": "[output] has no token; a centre of Pantau takes no data without one",
    },
    "token_bad": {"id": "token tidak terbaca: {why}", "en": "the token cannot be read: {why}"},
    "token_open": {
        "id": "token di {file} dapat dibaca pengguna lain",
        "en": "the token in {file} can be read by other users",
    },
    "name": {"id": "nama {host} dikenal: {address}", "en": "the name {host} is known: {address}"},
    "name_bad": {
        "id": "nama {host} tidak ditemukan: {why}; periksa DNS di /etc/resolv.conf",
        "en": "the name {host} is not found: {why}; check DNS in /etc/resolv.conf",
    },
    "centre": {"id": "pusat {url} menerima data", "en": "the centre {url} takes data"},
    "versions": {
        "id": "agen ini {ours}, pusat {theirs}: data tetap diterima; perbarui yang lebih lama",
        "en": "this agent is {ours}, the centre {theirs}: data are taken all the same; upgrade the older one",
    },
    "centre_away": {"id": "pusat {url} tidak terjangkau: {why}", "en": "the centre {url} cannot be reached: {why}"},
    "centre_token": {
        "id": "pusat {url} menolak token (HTTP 401)",
        "en": "the centre {url} refuses the token (HTTP 401)",
    },
    "centre_machine": {
        "id": "pusat menolak mesin ini (HTTP 403): {why}. Bila ini salinan, beri nama lain lalu bergabung lagi; "
        "bila mesin ini pengganti, di pusat: pantau enrol accept {host}",
        "en": "the centre refuses this machine (HTTP 403): {why}. If this is a copy, give it another name and join "
        "afresh; if it is the successor, at the centre: pantau enrol accept {host}",
    },
    "centre_bucket": {
        "id": "pusat {url} tidak mengenal org atau bucket: {why}; perbaiki [output] di {file}",
        "en": "the centre {url} does not know org or bucket: {why}; correct [output] in {file}",
    },
    "centre_odd": {
        "id": "pusat {url} menjawab HTTP {status}: {why}",
        "en": "the centre {url} answers HTTP {status}: {why}",
    },
    "clock": {
        "id": "jam cocok dengan pusat (selisih {offset} dtk)",
        "en": "the clock agrees with the centre ({offset} s off)",
    },
    "clock_bad": {
        "id": "jam mesin ini berbeda {offset} dtk dari jam pusat",
        "en": "the clock of this machine is {offset} s off that of the centre",
    },
    "running": {"id": "agen berjalan (proses {process})", "en": "the agent runs (process {process})"},
    "running_not": {
        "id": "agen tidak berjalan: tidak ada yang dikumpulkan",
        "en": "the agent does not run: nothing is collected",
    },
    "folder_bad": {
        "id": "folder {folder} tidak dapat ditulis agen: {why}",
        "en": "the agent cannot write {folder}: {why}",
    },
    "folder_owner": {
        "id": "{file} milik pengguna lain daripada foldernya: agen tidak dapat menulisnya",
        "en": "{file} belongs to another user than its folder: the agent cannot write it",
    },
    "disk_full": {
        "id": "sisa disk {folder} {free} MB, kurang dari min_free: antrean tidak boleh tumbuh",
        "en": "{folder} has {free} MB left, less than min_free: the spool may not grow",
    },
    "spool": {"id": "antrean: {waiting} baris menunggu", "en": "spool: {waiting} lines wait"},
    "spool_behind": {
        "id": "antrean: {waiting} baris menunggu, yang tertua sejak {minutes} menit lalu",
        "en": "spool: {waiting} lines wait, the oldest for {minutes} minutes",
    },
    "spool_lost": {
        "id": "antrean pernah penuh: {dropped} baris dibuang sejak dipasang; batasnya [spool] max_size dan max_age",
        "en": "the spool was full at times: {dropped} lines dropped since installation; its bounds are [spool] max_size and max_age",
    },
    "spool_refused": {
        "id": "{quarantined} baris dikarantina dan {rejected} ditolak pusat; sebabnya di log agen",
        "en": "{quarantined} lines are in quarantine and {rejected} were rejected by the centre; the agent's log says why",
    },
    "spool_newer": {
        "id": "{file} berisi data dari versi agen yang lain; agen versi itu mengirimnya setelah dipasang lagi",
        "en": "{file} holds data of another version of the agent, which sends them once it is installed again",
    },
    "spool_corrupt": {
        "id": "antrean yang rusak disimpan sebagai {file}; boleh dihapus",
        "en": "a damaged spool was kept as {file}; it may be removed",
    },
    "spool_unread": {"id": "antrean tidak terbaca: {why}", "en": "the spool cannot be read: {why}"},
    "collects": {"id": "dikumpulkan: {names}", "en": "collected: {names}"},
    "lacks": {
        "id": "{name} tidak dikumpulkan: di sini tidak ada {what}",
        "en": "{name} is not collected: there is no {what} here",
    },
    "forbidden": {
        "id": "{name} tidak dikumpulkan: agen tidak boleh membaca {what}",
        "en": "{name} is not collected: the agent may not read {what}",
    },
    "slow": {
        "id": "{name} tidak dikumpulkan: belum selesai setelah {seconds} dtk",
        "en": "{name} is not collected: no end within {seconds} s",
    },
    "fails": {"id": "{name} tidak dikumpulkan: {why}", "en": "{name} is not collected: {why}"},
    "could": {
        "id": "dapat dikumpulkan di sini, tetapi tidak diminta: {names}",
        "en": "could be collected here, but is not asked for: {names}",
    },
    "absent": {"id": "tidak ada di mesin ini: {names}", "en": "not on this machine: {names}"},
}
