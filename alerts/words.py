"""Words for people: statuses, reasons, durations and moments in plain Indonesian (``id``) and English (``en``)."""

import datetime as dt
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from alerts.state import Severity
from collectors.result import Reason, Status

Language = Literal["id", "en"]


class Words(msgspec.Struct, frozen=True):
    """A reason told to people: ``what`` happened (a clause, no full stop) and what to do about it (``todo``, a sentence)."""

    what: str
    todo: str


def explain(reason: Reason, lang: Language) -> Words:
    """Tell a reason in plain words."""
    return Words(*_REASONS[lang][reason])


def status_word(status: Status, lang: Language) -> str:
    """Return the word of the glossary for a status: ``padam``, ``down``."""
    return _STATUS[lang][status]


def severity_word(severity: Severity, lang: Language) -> str:
    """Return the word for a severity: ``kritis``, ``critical``."""
    return _SEVERITY[lang][severity]


def duration(ms: int, lang: Language) -> str:
    """Tell a stretch in its two largest units: ``1 jam 30 menit``, ``45 detik``; less than nothing is nothing."""
    seconds = max(ms, 0) // 1000
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    amounts = [days, hours, minutes, seconds % 60]
    first = next((at for at, amount in enumerate(amounts) if amount), len(amounts) - 1)
    told = [_amount(amounts[at], at, lang) for at in range(first, min(first + 2, len(amounts))) if amounts[at]]
    return " ".join(told or [_amount(0, first, lang)])


def moment(ms: int, zone: str, lang: Language) -> str:
    """Tell date and time: ``4 Juni 2026 pukul 15.30 WIB``, ``4 June 2026, 15:30 WIB``; ``zone`` is an IANA name."""
    then = _local(ms, zone)
    between = " pukul " if lang == "id" else ", "
    return f"{then.day} {_MONTHS[lang][then.month - 1]} {then.year}{between}{clock(ms, zone, lang)}"


def clock(ms: int, zone: str, lang: Language, *, named: bool = True) -> str:
    """Tell the time of day: ``09.12 WIB``, ``09:12 WIB``; without the zone's name when not ``named``."""
    then = _local(ms, zone)
    told = f"{then:%H.%M}" if lang == "id" else f"{then:%H:%M}"
    return f"{told} {zone_name(ms, zone)}" if named else told


def zone_name(ms: int, zone: str) -> str:
    """Return the name people use for a zone: WIB, WITA, WIT, else its abbreviation or offset."""
    return _ZONES.get(zone) or f"{_local(ms, zone):%Z}"


def same_day(one: int, other: int, zone: str) -> bool:
    """Tell whether two moments lie on the same date there."""
    return _local(one, zone).date() == _local(other, zone).date()


def _local(ms: int, zone: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, ZoneInfo(zone))


def _amount(amount: int, unit: int, lang: Language) -> str:
    if lang == "id":
        return f"{amount} {('hari', 'jam', 'menit', 'detik')[unit]}"
    return f"{amount} {('day', 'hour', 'minute', 'second')[unit]}{'' if amount == 1 else 's'}"


_ZONES: Final = {
    "Asia/Jakarta": "WIB",
    "Asia/Pontianak": "WIB",
    "Asia/Makassar": "WITA",
    "Asia/Ujung_Pandang": "WITA",
    "Asia/Jayapura": "WIT",
}

_MONTHS: Final[dict[Language, tuple[str, ...]]] = {
    "id": (
        "Januari",
        "Februari",
        "Maret",
        "April",
        "Mei",
        "Juni",
        "Juli",
        "Agustus",
        "September",
        "Oktober",
        "November",
        "Desember",
    ),
    "en": (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
}

_STATUS: Final[dict[Language, dict[Status, str]]] = {
    "id": {
        Status.UP: "berfungsi",
        Status.DEGRADED: "menurun",
        Status.DOWN: "padam",
        Status.UNKNOWN: "tak terpantau",
    },
    "en": {Status.UP: "up", Status.DEGRADED: "degraded", Status.DOWN: "down", Status.UNKNOWN: "unobserved"},
}

_SEVERITY: Final[dict[Language, dict[Severity, str]]] = {
    "id": {"critical": "kritis", "high": "tinggi", "medium": "sedang", "low": "rendah"},
    "en": {"critical": "critical", "high": "high", "medium": "medium", "low": "low"},
}

_REASONS: Final[dict[Language, dict[Reason, tuple[str, str]]]] = {
    "id": {
        Reason.OK: ("berfungsi seperti seharusnya", "Tidak perlu tindakan."),
        Reason.NAME_NOT_FOUND: (
            "nama domain tidak ditemukan",
            "Periksa masa aktif domain dan catatan DNS-nya.",
        ),
        Reason.RESOLVER_FAILED: (
            "server DNS tidak menjawab",
            "Periksa server DNS yang dipakai dan jalur jaringan ke sana.",
        ),
        Reason.UNREACHABLE: (
            "server tidak dapat dijangkau",
            "Periksa apakah server menyala, lalu listrik, kabel dan jalur jaringannya.",
        ),
        Reason.REFUSED: (
            "server hidup tetapi layanannya mati",
            "Masuk ke server, periksa dan jalankan kembali layanannya.",
        ),
        Reason.TIMEOUT: (
            "server tersambung tetapi tidak menjawab pada waktunya",
            "Periksa beban server, aplikasi dan basis datanya.",
        ),
        Reason.CONNECTION_LOST: (
            "sambungan terputus di tengah jalan",
            "Periksa log aplikasi, proxy dan firewall di depannya.",
        ),
        Reason.TLS_EXPIRED: (
            "sertifikat kedaluwarsa; peramban warga menampilkan peringatan",
            "Perbarui sertifikat lalu muat ulang server web.",
        ),
        Reason.TLS_EXPIRING: (
            "sertifikat segera kedaluwarsa",
            "Perbarui sertifikat sebelum tanggal berakhirnya.",
        ),
        Reason.TLS_NAME: (
            "sertifikat bukan untuk nama ini",
            "Pasang sertifikat yang memuat nama domain ini.",
        ),
        Reason.TLS_UNTRUSTED: (
            "sertifikat tidak dipercaya peramban",
            "Pasang sertifikat dari penerbit yang dipercaya beserta rantai lengkapnya.",
        ),
        Reason.TLS_FAILED: (
            "sambungan aman (TLS) gagal dibentuk",
            "Periksa pengaturan TLS pada server web atau proxy.",
        ),
        Reason.BLOCKED: (
            "akses ditolak, misalnya oleh WAF atau pembatasan",
            "Periksa aturan WAF, firewall dan hak akses; pastikan alamat Pantau diizinkan.",
        ),
        Reason.HTTP_STATUS: (
            "jawaban server web bukan yang seharusnya",
            "Buka alamatnya di peramban, lalu periksa pengaturan server web dan aplikasinya.",
        ),
        Reason.HTTP_ERROR: (
            "galat dari aplikasi (5xx)",
            "Periksa log aplikasi dan basis datanya; hubungi pengembang bila perlu.",
        ),
        Reason.CONTENT: (
            "isi halaman tidak sesuai",
            "Buka halamannya dan periksa apakah isinya berubah atau diubah orang.",
        ),
        Reason.PROTOCOL: (
            "jawaban tidak sesuai protokol",
            "Periksa apakah layanan yang benar berjalan di porta itu.",
        ),
        Reason.SLOW: (
            "lambat",
            "Periksa beban server, basis data dan jaringan.",
        ),
        Reason.LOSS: (
            "sebagian paket hilang di jalan",
            "Periksa mutu jalur jaringan: kabel, radio, kepadatan lalu lintas.",
        ),
        Reason.DNS_ANSWER: (
            "jawaban DNS tidak sesuai",
            "Periksa catatan DNS; pastikan tidak diubah tanpa izin.",
        ),
        Reason.THRESHOLD: (
            "nilai melewati ambang batas",
            "Periksa penyebab naik atau turunnya nilai ini.",
        ),
        Reason.SILENT: (
            "data yang ditunggu tidak datang",
            "Periksa apakah server menyala, agen Pantau berjalan dan jaringannya tersambung.",
        ),
        Reason.SNMP_SILENT: (
            "perangkat tidak menjawab SNMP",
            "Periksa apakah perangkat menyala, SNMP-nya aktif dan alamat Pantau diizinkan.",
        ),
        Reason.SNMP_AUTH: (
            "perangkat menolak pengguna atau kunci SNMP",
            "Samakan pengguna, kunci atau community SNMP di perangkat dan di Pantau.",
        ),
        Reason.CLONE: (
            "dua mesin mengirim data dengan nama yang sama, mungkin salinan mesin virtual",
            "Di salinannya: ganti nama host dan machine-id, lalu `pantau-agent join --renew`; bila pengganti: `pantau enrol accept NAMA`.",
        ),
        Reason.STORE_UNREADABLE: (
            "Pantau tidak dapat membaca data pengukuran",
            "Periksa basis data pengukuran Pantau: layanan, ruang disk dan sambungannya.",
        ),
        Reason.LATE: (
            "Pantau terlambat memeriksa; gangguan bisa terlambat diketahui",
            "Buka halaman Ketepatan jadwal: kurangi pemeriksaan yang lambat, naikkan batas di [schedule] atau tambah prosesor.",
        ),
        Reason.BUG: (
            "pemeriksaan gagal karena kesalahan di dalam Pantau",
            "Laporkan kepada pengelola Pantau; layanan yang dipantau belum tentu terganggu.",
        ),
    },
    "en": {
        Reason.OK: ("works as it should", "Nothing to do."),
        Reason.NAME_NOT_FOUND: (
            "the domain name was not found",
            "Check that the domain is paid for and its DNS records are there.",
        ),
        Reason.RESOLVER_FAILED: (
            "the DNS server does not answer",
            "Check the DNS server in use and the network path to it.",
        ),
        Reason.UNREACHABLE: (
            "the server cannot be reached",
            "Check that the server is on, then its power, cables and network path.",
        ),
        Reason.REFUSED: (
            "the server is alive but its service is not running",
            "Log in to the server, check the service and start it again.",
        ),
        Reason.TIMEOUT: (
            "the server accepts connections but does not answer in time",
            "Check the load of the server, the application and its database.",
        ),
        Reason.CONNECTION_LOST: (
            "the connection broke in the middle",
            "Check the logs of the application, and the proxy and firewall before it.",
        ),
        Reason.TLS_EXPIRED: (
            "the certificate has expired; browsers show citizens a warning",
            "Renew the certificate and reload the web server.",
        ),
        Reason.TLS_EXPIRING: ("the certificate expires soon", "Renew the certificate before its last day."),
        Reason.TLS_NAME: (
            "the certificate is for another name",
            "Install a certificate that holds this domain name.",
        ),
        Reason.TLS_UNTRUSTED: (
            "browsers do not trust the certificate",
            "Install a certificate of a trusted issuer with its complete chain.",
        ),
        Reason.TLS_FAILED: (
            "the secure connection (TLS) could not be made",
            "Check the TLS settings of the web server or proxy.",
        ),
        Reason.BLOCKED: (
            "access was denied, perhaps by a WAF or a limit",
            "Check the rules of WAF, firewall and access rights; let the address of Pantau pass.",
        ),
        Reason.HTTP_STATUS: (
            "the web server answers something else than it should",
            "Open the address in a browser, then check the settings of web server and application.",
        ),
        Reason.HTTP_ERROR: (
            "the application fails (5xx)",
            "Check the logs of the application and its database; call the developer if needed.",
        ),
        Reason.CONTENT: (
            "the page does not say what it should",
            "Open the page and see whether its content changed or was tampered with.",
        ),
        Reason.PROTOCOL: (
            "the answer does not follow the protocol",
            "Check that the right service runs on that port.",
        ),
        Reason.SLOW: ("slow", "Check the load of server, database and network."),
        Reason.LOSS: (
            "some packets are lost on the way",
            "Check the quality of the network path: cables, radio links, congestion.",
        ),
        Reason.DNS_ANSWER: (
            "the DNS answer is not the expected one",
            "Check the DNS records; make sure that nobody changed them without permission.",
        ),
        Reason.THRESHOLD: ("a value passed its limit", "Find out what drives this value up or down."),
        Reason.SILENT: (
            "expected data do not arrive",
            "Check that the server is on, the Pantau agent runs and its network is connected.",
        ),
        Reason.SNMP_SILENT: (
            "the device does not answer SNMP",
            "Check that the device is on, its SNMP is enabled and the address of Pantau is allowed.",
        ),
        Reason.SNMP_AUTH: (
            "the device rejects the SNMP user or key",
            "Make user, key or community the same on the device and in Pantau.",
        ),
        Reason.CLONE: (
            "two machines write under one name, perhaps copies of one virtual machine",
            "On the copy: change host name and machine-id, then `pantau-agent join --renew`; for a successor: `pantau enrol accept NAME`.",
        ),
        Reason.STORE_UNREADABLE: (
            "Pantau cannot read the measurements",
            "Check the database of measurements: its service, disk space and connection.",
        ),
        Reason.LATE: (
            "Pantau looks later than it should; faults may be noticed late",
            "Open the page Punctuality: have fewer slow checks, raise the limits of [schedule] or add processors.",
        ),
        Reason.BUG: (
            "the check failed because of a fault inside Pantau",
            "Report it to whoever runs Pantau; the service itself may be fine.",
        ),
    },
}
