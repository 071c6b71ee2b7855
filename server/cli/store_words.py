"""What ``pantau store`` says of each step."""

from collections.abc import Mapping
from typing import Final

from alerts.i18n.catalogue import LanguageCode, Texts, gettext_noop

SIGNS: Final = {"well": "✓", "done": "+", "note": "·", "bad": "✗"}

WORDS: Final = {
    "embedded": gettext_noop(
        'penyimpanan bawaan tidak perlu disiapkan; isi [store] type = "influx" bila ingin InfluxDB'
    ),
    "embedded_well": gettext_noop("penyimpanan bawaan dapat dibaca: {series} deret"),
    "embedded_served": gettext_noop("penyimpanan bawaan dipakai pusat yang sedang berjalan, dan pusat itu sehat"),
    "embedded_bad": gettext_noop("penyimpanan bawaan: {why}"),
    "version": gettext_noop("versi {version}"),
    "reached": gettext_noop("{url} menjawab dalam {ms} ms"),
    "away": gettext_noop("tidak terjangkau: {why}"),
    "clock": gettext_noop("jam sama (selisih {seconds} s)"),
    "clock_off": gettext_noop("jam berselisih {seconds} s; periksa chrony atau NTP di kedua mesin"),
    "write": gettext_noop("boleh menulis"),
    "write_refused": gettext_noop("tidak dapat menulis: {why}"),
    "init_first": gettext_noop("buat dengan: pantau store init"),
    "read": gettext_noop("boleh membaca: {count} pengukuran"),
    "read_refused": gettext_noop("tidak dapat membaca: {why}"),
    "round_trip": gettext_noop("satu titik ditulis dan terbaca kembali dalam {ms} ms"),
    "round_trip_failed": gettext_noop("titik yang ditulis tidak terbaca kembali {why}"),
    "victoria_read": gettext_noop(
        "VictoriaMetrics menerima data, tetapi tidak dapat dibaca di sini: halaman dan aturan memerlukan InfluxDB"
    ),
    "victoria_init": gettext_noop("VictoriaMetrics tidak perlu disiapkan; lama simpan diatur dengan -retentionPeriod"),
    "three_init": gettext_noop(
        "InfluxDB 3 diatur dengan alatnya sendiri: influxdb3 create database --retention-period {days}d {bucket}"
    ),
    "raw_short": gettext_noop(
        "'raw' di [store] paling sedikit {days}d: nilai yang terlambat harus masih masuk ringkasan"
    ),
    "org_missing": gettext_noop(
        "organisasi {org} tidak terlihat dengan token ini ({why}); untuk init perlu token operator atau all-access"
    ),
    "refused": gettext_noop("{name} tidak dapat dibuat ({why}); untuk init perlu token operator atau all-access"),
    "database_made": gettext_noop("basis data {bucket} dibuat, nilai mentah disimpan {kept}"),
    "kept": gettext_noop("{name}: disimpan {kept}"),
    "kept_made": gettext_noop("{name} dibuat: disimpan {kept}"),
    "kept_changed": gettext_noop("{name}: lama simpan diubah dari {now} menjadi {kept}"),
    "kept_otherwise": gettext_noop(
        "{name}: disimpan {now}, bukan {kept}; pantau store init --change mengubahnya dan menghapus yang lebih lama"
    ),
    "kept_missing": gettext_noop("{name} belum ada: jalankan pantau store init"),
    "roll_up": gettext_noop("ringkasan per jam berjalan ({name})"),
    "roll_up_made": gettext_noop("ringkasan per jam dipasang ({name})"),
    "roll_up_changed": gettext_noop("ringkasan per jam diperbarui ({name})"),
    "roll_up_missing": gettext_noop("ringkasan per jam belum dipasang ({name}): jalankan pantau store init"),
    "roll_up_unseen": gettext_noop("ringkasan per jam ({name}) belum dipasang, atau tidak terlihat dengan token ini"),
    "roll_up_failed": gettext_noop("ringkasan per jam terakhir gagal ({name}): {why}"),
    "settings_embedded": gettext_noop(
        '[store] masih type = "embedded": isi dengan InfluxDB, mulai ulang pusat, lalu salin; data baru '
        "langsung ke sana"
    ),
    "nothing": gettext_noop("tidak ada yang perlu disalin di {folder}"),
    "in_use": gettext_noop(
        "penyimpanan bawaan sedang dipakai ({why}). Hentikan pusat, atau isi [store] dengan InfluxDB dan "
        "mulai ulang pusat; menyalin dapat berjalan di sampingnya"
    ),
    "stopped": gettext_noop("berhenti: {why}. Jalankan lagi perintah yang sama untuk meneruskan"),
    "continued": gettext_noop("meneruskan: {done} dari {hours} jam sudah disalin"),
    "copied": gettext_noop("{hours} jam disalin: {points} titik, {values} nilai, {rolled} ringkasan; jumlahnya cocok"),
    "left_out": gettext_noop(
        "{hours} jam hanya tersisa sebagai ringkasan dan tidak disalin: isi 'raw' di [store], lalu pantau store init"
    ),
    "refused_fields": gettext_noop("{count} isian ditolak, mis. {why}"),
    "fewer": gettext_noop("{hour}: {measurement} {field} punya {there} nilai, seharusnya {wanted}"),
    "not_whole": gettext_noop(
        "tidak semua nilai ada di tujuan ({count} isian kurang); jalankan lagi dengan --again untuk menyalin "
        "ulang dari awal"
    ),
    "delete_nothing": gettext_noop("{bucket}: tidak ada titik {measurement} seperti itu"),
    "delete_found": gettext_noop(
        "{bucket}: {measurement}: {values} nilai dari {series} deret, {oldest} sampai {newest}"
    ),
    "delete_more": gettext_noop("dan {count} deret lagi"),
    "delete_dry": gettext_noop("belum ada yang dihapus; ulangi dengan --yes untuk menghapusnya"),
    "deleted": gettext_noop("sudah dihapus"),
}


def speaking(language: LanguageCode) -> LanguageCode:
    """Return a language with its texts read, which is done before the event loop runs."""
    Texts(language)
    return language


def tell(level: str, finding: str, values: Mapping[str, str | int | float], language: LanguageCode) -> str:
    """Return one line: a sign and the words."""
    return f"{SIGNS[level]} {Texts(language).gettext(WORDS[finding], **values)}"
