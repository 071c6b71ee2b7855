"""What ``pantau store`` tells, in Indonesian (``id``) and English (``en``)."""

from collections.abc import Mapping
from typing import Final

SIGNS: Final = {"well": "✓", "done": "+", "note": "·", "bad": "✗"}

WORDS: Final[dict[str, dict[str, str]]] = {
    "embedded": {
        "id": 'penyimpanan bawaan tidak perlu disiapkan; isi [store] type = "influx" bila ingin InfluxDB',
        "en": 'the embedded store needs nothing; write [store] type = "influx" for an InfluxDB',
    },
    "embedded_well": {
        "id": "penyimpanan bawaan dapat dibaca: {series} deret",
        "en": "the embedded store can be read: {series} series",
    },
    "embedded_served": {
        "id": "penyimpanan bawaan dipakai pusat yang sedang berjalan, dan pusat itu sehat",
        "en": "the embedded store is used by the running centre, which is well",
    },
    "embedded_bad": {"id": "penyimpanan bawaan: {why}", "en": "the embedded store: {why}"},
    "version": {"id": "versi {version}", "en": "version {version}"},
    "reached": {"id": "{url} menjawab dalam {ms} ms", "en": "{url} answers within {ms} ms"},
    "away": {"id": "tidak terjangkau: {why}", "en": "cannot be reached: {why}"},
    "clock": {"id": "jam sama (selisih {seconds} s)", "en": "the clocks agree ({seconds} s apart)"},
    "clock_off": {
        "id": "jam berselisih {seconds} s; periksa chrony atau NTP di kedua mesin",
        "en": "the clocks are {seconds} s apart; look at chrony or NTP on both machines",
    },
    "write": {"id": "boleh menulis", "en": "writing is allowed"},
    "write_refused": {"id": "tidak dapat menulis: {why}", "en": "cannot write: {why}"},
    "init_first": {"id": "buat dengan: pantau store init", "en": "make it with: pantau store init"},
    "read": {"id": "boleh membaca: {count} pengukuran", "en": "reading is allowed: {count} measurements"},
    "read_refused": {"id": "tidak dapat membaca: {why}", "en": "cannot read: {why}"},
    "round_trip": {
        "id": "satu titik ditulis dan terbaca kembali dalam {ms} ms",
        "en": "one point was written and read back within {ms} ms",
    },
    "round_trip_failed": {
        "id": "titik yang ditulis tidak terbaca kembali {why}",
        "en": "the point that was written is not read back {why}",
    },
    "victoria_read": {
        "id": "VictoriaMetrics menerima data, tetapi tidak dapat dibaca di sini: halaman dan aturan memerlukan InfluxDB",
        "en": "VictoriaMetrics takes points, but cannot be read here: pages and rules need an InfluxDB",
    },
    "victoria_init": {
        "id": "VictoriaMetrics tidak perlu disiapkan; lama simpan diatur dengan -retentionPeriod",
        "en": "VictoriaMetrics needs nothing; -retentionPeriod says how long it keeps values",
    },
    "three_init": {
        "id": "InfluxDB 3 diatur dengan alatnya sendiri: influxdb3 create database --retention-period {days}d {bucket}",
        "en": "InfluxDB 3 is set up by its own tool: influxdb3 create database --retention-period {days}d {bucket}",
    },
    "raw_short": {
        "id": "'raw' di [store] paling sedikit {days}d: nilai yang terlambat harus masih masuk ringkasan",
        "en": "'raw' in [store] is at least {days}d: late values have to get into the roll-ups",
    },
    "org_missing": {
        "id": "organisasi {org} tidak terlihat dengan token ini ({why}); untuk init perlu token operator atau all-access",
        "en": "this token does not see the organisation {org} ({why}); init needs an operator or all-access token",
    },
    "refused": {
        "id": "{name} tidak dapat dibuat ({why}); untuk init perlu token operator atau all-access",
        "en": "{name} cannot be made ({why}); init needs an operator or all-access token",
    },
    "database_made": {
        "id": "basis data {bucket} dibuat, nilai mentah disimpan {kept}",
        "en": "database {bucket} made, raw values are kept {kept}",
    },
    "kept": {"id": "{name}: disimpan {kept}", "en": "{name}: kept {kept}"},
    "kept_made": {"id": "{name} dibuat: disimpan {kept}", "en": "{name} made: kept {kept}"},
    "kept_changed": {
        "id": "{name}: lama simpan diubah dari {now} menjadi {kept}",
        "en": "{name}: kept {kept} now instead of {now}",
    },
    "kept_otherwise": {
        "id": "{name}: disimpan {now}, bukan {kept}; pantau store init --change mengubahnya dan menghapus yang lebih lama",
        "en": "{name}: kept {now}, not {kept}; pantau store init --change changes it and deletes what is older",
    },
    "kept_missing": {
        "id": "{name} belum ada: jalankan pantau store init",
        "en": "{name} is not there yet: run pantau store init",
    },
    "roll_up": {"id": "ringkasan per jam berjalan ({name})", "en": "roll-ups of an hour are made ({name})"},
    "roll_up_made": {"id": "ringkasan per jam dipasang ({name})", "en": "roll-ups of an hour set up ({name})"},
    "roll_up_changed": {"id": "ringkasan per jam diperbarui ({name})", "en": "roll-ups of an hour renewed ({name})"},
    "roll_up_missing": {
        "id": "ringkasan per jam belum dipasang ({name}): jalankan pantau store init",
        "en": "roll-ups of an hour are not set up ({name}): run pantau store init",
    },
    "roll_up_unseen": {
        "id": "ringkasan per jam ({name}) belum dipasang, atau tidak terlihat dengan token ini",
        "en": "roll-ups of an hour ({name}) are not set up, or this token may not see them",
    },
    "roll_up_failed": {
        "id": "ringkasan per jam terakhir gagal ({name}): {why}",
        "en": "the last roll-up failed ({name}): {why}",
    },
    "settings_embedded": {
        "id": '[store] masih type = "embedded": isi dengan InfluxDB, mulai ulang pusat, lalu salin; data baru langsung ke sana',
        "en": '[store] still has type = "embedded": write the InfluxDB there, restart the centre, then copy; new points go there at once',
    },
    "nothing": {"id": "tidak ada yang perlu disalin di {folder}", "en": "there is nothing to copy in {folder}"},
    "in_use": {
        "id": "penyimpanan bawaan sedang dipakai ({why}). Hentikan pusat, atau isi [store] dengan InfluxDB dan mulai ulang pusat; "
        "menyalin dapat berjalan di sampingnya",
        "en": "the embedded store is in use ({why}). Stop the centre, or write the InfluxDB into [store] and restart it; "
        "copying can go on beside it",
    },
    "stopped": {
        "id": "berhenti: {why}. Jalankan lagi perintah yang sama untuk meneruskan",
        "en": "stopped: {why}. The same command goes on from here",
    },
    "continued": {"id": "meneruskan: {done} dari {hours} jam sudah disalin", "en": "going on: {done} of {hours} hours are copied"},
    "copied": {
        "id": "{hours} jam disalin: {points} titik, {values} nilai, {rolled} ringkasan; jumlahnya cocok",
        "en": "{hours} hours copied: {points} points, {values} values, {rolled} roll-ups; the counts agree",
    },
    "left_out": {
        "id": "{hours} jam hanya tersisa sebagai ringkasan dan tidak disalin: isi 'raw' di [store], lalu pantau store init",
        "en": "{hours} hours are left as roll-ups only and were not copied: write 'raw' into [store], then pantau store init",
    },
    "refused_fields": {"id": "{count} isian ditolak, mis. {why}", "en": "{count} fields were refused, e.g. {why}"},
    "fewer": {
        "id": "{hour}: {measurement} {field} punya {there} nilai, seharusnya {wanted}",
        "en": "{hour}: {measurement} {field} has {there} values, not {wanted}",
    },
    "not_whole": {
        "id": "tidak semua nilai ada di tujuan ({count} isian kurang); jalankan lagi dengan --again untuk menyalin ulang dari awal",
        "en": "not every value arrived ({count} fields have fewer); run it with --again to copy from the beginning",
    },
    "delete_nothing": {
        "id": "{bucket}: tidak ada titik {measurement} seperti itu",
        "en": "{bucket}: there are no such points of {measurement}",
    },
    "delete_found": {
        "id": "{bucket}: {measurement}: {values} nilai dari {series} deret, {oldest} sampai {newest}",
        "en": "{bucket}: {measurement}: {values} values of {series} series, {oldest} to {newest}",
    },
    "delete_series": {"id": "  {tags}", "en": "  {tags}"},
    "delete_more": {"id": "  dan {count} deret lagi", "en": "  and {count} series more"},
    "delete_dry": {
        "id": "belum ada yang dihapus; ulangi dengan --yes untuk menghapusnya",
        "en": "nothing is deleted yet; the same with --yes deletes it",
    },
    "deleted": {"id": "sudah dihapus", "en": "deleted"},
}  # fmt: skip


def tell(level: str, what: str, values: Mapping[str, str | int | float], language: str) -> str:
    """Return one line: a sign and the words."""
    return f"{SIGNS[level]} {WORDS[what][language].format(**values)}"
