"""The words of the glossary: statuses, severities, and what a reason means and asks for."""

from typing import Final

from alerts.i18n.catalogue import gettext_noop
from alerts.state import Severity
from collectors.result import Reason, Status

STATUSES: Final = {
    Status.UP: gettext_noop("berfungsi"),
    Status.DEGRADED: gettext_noop("menurun"),
    Status.DOWN: gettext_noop("padam"),
    Status.UNKNOWN: gettext_noop("tak terpantau"),
}

SEVERITIES: Final[dict[Severity, str]] = {
    "critical": gettext_noop("kritis"),
    "high": gettext_noop("tinggi"),
    "medium": gettext_noop("sedang"),
    "low": gettext_noop("rendah"),
}

REASONS: Final = {
    Reason.OK: (
        gettext_noop("berfungsi seperti seharusnya"),
        gettext_noop("Tidak perlu tindakan."),
    ),
    Reason.NAME_NOT_FOUND: (
        gettext_noop("nama domain tidak ditemukan"),
        gettext_noop("Periksa masa aktif domain dan catatan DNS-nya."),
    ),
    Reason.RESOLVER_FAILED: (
        gettext_noop("server DNS tidak menjawab"),
        gettext_noop("Periksa server DNS yang dipakai dan jalur jaringan ke sana."),
    ),
    Reason.UNREACHABLE: (
        gettext_noop("server tidak dapat dijangkau"),
        gettext_noop("Periksa apakah server menyala, lalu listrik, kabel dan jalur jaringannya."),
    ),
    Reason.REFUSED: (
        gettext_noop("server hidup tetapi layanannya mati"),
        gettext_noop("Masuk ke server, periksa dan jalankan kembali layanannya."),
    ),
    Reason.TIMEOUT: (
        gettext_noop("server tersambung tetapi tidak menjawab pada waktunya"),
        gettext_noop("Periksa beban server, aplikasi dan basis datanya."),
    ),
    Reason.CONNECTION_LOST: (
        gettext_noop("sambungan terputus di tengah jalan"),
        gettext_noop("Periksa log aplikasi, proxy dan firewall di depannya."),
    ),
    Reason.TLS_EXPIRED: (
        gettext_noop("sertifikat kedaluwarsa; peramban warga menampilkan peringatan"),
        gettext_noop("Perbarui sertifikat lalu muat ulang server web."),
    ),
    Reason.TLS_EXPIRING: (
        gettext_noop("sertifikat segera kedaluwarsa"),
        gettext_noop("Perbarui sertifikat sebelum tanggal berakhirnya."),
    ),
    Reason.TLS_NAME: (
        gettext_noop("sertifikat bukan untuk nama ini"),
        gettext_noop("Pasang sertifikat yang memuat nama domain ini."),
    ),
    Reason.TLS_UNTRUSTED: (
        gettext_noop("sertifikat tidak dipercaya peramban"),
        gettext_noop("Pasang sertifikat dari penerbit yang dipercaya beserta rantai lengkapnya."),
    ),
    Reason.TLS_FAILED: (
        gettext_noop("sambungan aman (TLS) gagal dibentuk"),
        gettext_noop("Periksa pengaturan TLS pada server web atau proxy."),
    ),
    Reason.BLOCKED: (
        gettext_noop("akses ditolak, misalnya oleh WAF atau pembatasan"),
        gettext_noop("Periksa aturan WAF, firewall dan hak akses; pastikan alamat Pantau diizinkan."),
    ),
    Reason.HTTP_STATUS: (
        gettext_noop("jawaban server web bukan yang seharusnya"),
        gettext_noop("Buka alamatnya di peramban, lalu periksa pengaturan server web dan aplikasinya."),
    ),
    Reason.HTTP_ERROR: (
        gettext_noop("galat dari aplikasi (5xx)"),
        gettext_noop("Periksa log aplikasi dan basis datanya; hubungi pengembang bila perlu."),
    ),
    Reason.CONTENT: (
        gettext_noop("isi halaman tidak sesuai"),
        gettext_noop("Buka halamannya dan periksa apakah isinya berubah atau diubah orang."),
    ),
    Reason.PROTOCOL: (
        gettext_noop("jawaban tidak sesuai protokol"),
        gettext_noop("Periksa apakah layanan yang benar berjalan di porta itu."),
    ),
    Reason.SLOW: (
        gettext_noop("lambat"),
        gettext_noop("Periksa beban server, basis data dan jaringan."),
    ),
    Reason.LOSS: (
        gettext_noop("sebagian paket hilang di jalan"),
        gettext_noop("Periksa mutu jalur jaringan: kabel, radio, kepadatan lalu lintas."),
    ),
    Reason.DNS_ANSWER: (
        gettext_noop("jawaban DNS tidak sesuai"),
        gettext_noop("Periksa catatan DNS; pastikan tidak diubah tanpa izin."),
    ),
    Reason.THRESHOLD: (
        gettext_noop("nilai melewati ambang batas"),
        gettext_noop("Periksa penyebab naik atau turunnya nilai ini."),
    ),
    Reason.SILENT: (
        gettext_noop("data yang ditunggu tidak datang"),
        gettext_noop("Periksa apakah server menyala, agen Pantau berjalan dan jaringannya tersambung."),
    ),
    Reason.SNMP_SILENT: (
        gettext_noop("perangkat tidak menjawab SNMP"),
        gettext_noop("Periksa apakah perangkat menyala, SNMP-nya aktif dan alamat Pantau diizinkan."),
    ),
    Reason.SNMP_AUTH: (
        gettext_noop("perangkat menolak pengguna atau kunci SNMP"),
        gettext_noop("Samakan pengguna, kunci atau community SNMP di perangkat dan di Pantau."),
    ),
    Reason.CLONE: (
        gettext_noop("dua mesin mengirim data dengan nama yang sama, mungkin salinan mesin virtual"),
        gettext_noop(
            "Di salinannya: ganti nama host dan machine-id, lalu `pantau-agent join --renew`; bila pengganti: `pantau enrol accept NAMA`."
        ),
    ),
    Reason.STORE_UNREADABLE: (
        gettext_noop("Pantau tidak dapat membaca data pengukuran"),
        gettext_noop("Periksa basis data pengukuran Pantau: layanan, ruang disk dan sambungannya."),
    ),
    Reason.NO_BACKUP: (
        gettext_noop("tidak ada cadangan (backup) Pantau yang baru"),
        gettext_noop(
            "Jalankan `pantau backup` dengan tangan; periksa `systemctl status pantau-backup` dan ruang di folder cadangan."
        ),
    ),
    Reason.STATE_AWAY: (
        gettext_noop("basis data keadaan Pantau tidak dapat dihubungi"),
        gettext_noop("Periksa basis data keadaan Pantau (PostgreSQL): layanan, ruang disk dan sambungannya."),
    ),
    Reason.LATE: (
        gettext_noop("Pantau terlambat memeriksa; gangguan bisa terlambat diketahui"),
        gettext_noop(
            "Buka halaman Ketepatan jadwal: kurangi pemeriksaan yang lambat, naikkan batas di [schedule] atau tambah prosesor."
        ),
    ),
    Reason.UNSTABLE: (
        gettext_noop("pemeriksaan berulang kali gagal, meski tidak berturut-turut"),
        gettext_noop(
            "Periksa beban, jaringan dan server cadangan di belakangnya: sebagian permintaan tidak dijawab dengan baik."
        ),
    ),
    Reason.BUG: (
        gettext_noop("pemeriksaan gagal karena kesalahan di dalam Pantau"),
        gettext_noop("Laporkan kepada pengelola Pantau; layanan yang dipantau belum tentu terganggu."),
    ),
}
