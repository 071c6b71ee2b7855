"""Words, numbers and moments of a report in Indonesian and English."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from alerts import words
from alerts.words import Language
from collectors.result import Reason, Status
from server.evaluation.days import DayState
from server.evaluation.standard import show3

NOTHING: Final = "–"
_SECOND: Final = 1000
_MINUTE: Final = 60 * _SECOND


class Phrases:
    """Says everything in one language, with moments in one zone."""

    def __init__(self, lang: Language, zone: str) -> None:
        self.lang: Language = lang
        self.zone = zone
        self._column = 0 if lang == "id" else 1
        self._local = ZoneInfo(zone)

    def say(self, phrase: str, **values: object) -> str:
        """Return a phrase of the list below, with its gaps filled."""
        return PHRASES[phrase][self._column].format(**values)

    def point(self, text: str) -> str:
        """Give a number the decimal sign of the language: ``99,900``."""
        return text.replace(".", ",") if self.lang == "id" else text

    def percent(self, value: Fraction | None) -> str:
        """Write a percentage with three decimals, truncated: ``99,900 %``."""
        shown = show3(value)
        return NOTHING if shown is None else f"{self.point(shown)}\u00a0%"

    def between(self, low: Fraction | None, high: Fraction | None) -> str:
        """Write a range of percentages: ``70,833-95,833 %``, one number when both show the same."""
        first, last = show3(low), show3(high)
        if first is None or last is None:
            return NOTHING
        return f"{self.point(first)}–{self.point(last)}\u00a0%" if first != last else self.percent(low)

    def decimal(self, value: Fraction) -> str:
        """Write a setting as it was written: ``99,5``."""
        return self.point(f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():f}")

    def duration(self, ms: Fraction | int) -> str:
        """Tell a stretch in its two largest units: ``1 jam 30 menit``."""
        return words.duration(int(ms), self.lang)

    def exact(self, ms: int) -> str:
        """Write a stretch to the second, in full hours: ``17:00:00``."""
        seconds = ms // _SECOND
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def minutes(self, ms: int) -> str:
        """Write a stretch as seconds, which is what the standard counts: ``3.600 detik``."""
        grouped = f"{ms // _SECOND:,}"
        return self.say("seconds", n=grouped.replace(",", ".") if self.lang == "id" else grouped)

    def moment(self, ms: int) -> str:
        """Tell date and time in full: ``4 Juni 2026 pukul 15.30 WIB``."""
        return words.moment(ms, self.zone, self.lang)

    def stamp(self, ms: int) -> str:
        """Write date and time to the second: ``04/06/2026 15.30.07``, ``2026-06-04 15:30:07``."""
        then = dt.datetime.fromtimestamp(ms // _SECOND, self._local)
        return f"{then:%d/%m/%Y %H.%M.%S}" if self.lang == "id" else f"{then:%Y-%m-%d %H:%M:%S}"

    def day(self, date: dt.date) -> str:
        """Write a date: ``4 Juni 2026``."""
        return f"{date.day} {self._month(date)}"

    def period(self, start: int, end: int) -> str:
        """Name a period: ``November 2026`` when it is a whole month, else both its ends."""
        first = dt.datetime.fromtimestamp(start // _SECOND, self._local)
        last = dt.datetime.fromtimestamp(end // _SECOND, self._local)
        following = (first.replace(day=1) + dt.timedelta(days=31)).replace(day=1)
        midnight = dt.time()
        if first.day == 1 and first.time() == midnight and (last.date(), last.time()) == (following.date(), midnight):
            return self._month(first)
        return self.say("from_to", start=self.moment(start), end=self.moment(end))

    def zone_name(self, ms: int) -> str:
        """Return the zone as people call it: WIB."""
        return words.zone_name(ms, self.zone)

    def reason(self, reason: Reason) -> str:
        """Tell why something was down."""
        return words.explain(reason, self.lang).what

    def day_state(self, state: DayState | str) -> str:
        """Return the word for a day's state."""
        day = DayState(state)
        return words.status_word(Status(day), self.lang) if day.rated else self.say("not_rated")

    def _month(self, date: dt.date) -> str:
        return f"{_MONTHS[self._column].split()[date.month - 1]} {date.year}"


_MONTHS: Final = (
    "Januari Februari Maret April Mei Juni Juli Agustus September Oktober November Desember",
    "January February March April May June July August September October November December",
)

# name -> (Indonesian, English)
PHRASES: Final[dict[str, tuple[str, str]]] = {
    "title": ("Laporan ketersediaan layanan", "Service availability report"),
    "from_to": ("{start} sampai {end}", "{start} to {end}"),
    "data_until": ("Berjalan: data s.d. {moment}", "Running: data up to {moment}"),
    "whole": ("Periode lengkap", "Whole period"),
    "summary": ("Ringkasan", "Summary"),
    "services": ("Layanan", "Services"),
    "service": ("Layanan", "Service"),
    "agencies": ("Per perangkat daerah", "By agency"),
    "agency": ("Perangkat daerah", "Agency"),
    "no_agency": ("Tanpa perangkat daerah", "No agency"),
    "gone": ("tidak terdaftar lagi", "no longer registered"),
    "days": ("Hari demi hari", "Day by day"),
    "availability": ("Ketersediaan", "Availability"),
    "bounds": ("Rentang", "Range"),
    "coverage": ("Cakupan", "Coverage"),
    "down": ("Padam", "Down"),
    "started": ("Gangguan", "Outages"),
    "with_maintenance": ("Termasuk pemeliharaan", "Including maintenance"),
    "slow": ("Menurun", "Degraded"),
    "target": ("Target", "Target"),
    "met_target": ("Memenuhi target", "Target met"),
    "verdict": ("Hasil", "Result"),
    "verdict_met": ("memenuhi", "met"),
    "verdict_missed": ("tidak memenuhi", "missed"),
    "verdict_open": ("belum dapat disimpulkan", "undecided"),
    "verdict_unrated": ("tidak dinilai", "not rated"),
    "provisional": ("sementara", "provisional"),
    "thin": ("data tidak cukup", "not enough data"),
    "met_of": ("{met} dari {rated} memenuhi", "{met} of {rated} met"),
    "worst": ("Terendah", "Lowest"),
    "city": ("Seluruh kota", "Whole city"),
    "weight": ("Bobot", "Weight"),
    "seconds": ("{n} detik", "{n} seconds"),
    "offenders": ("Kehilangan waktu terbesar", "Largest losses"),
    "lost": ("Detik padam × bobot, bagian dari seluruhnya", "Seconds down × weight, share of the total"),
    "and_more": ("dan {n} lainnya; semuanya ada di berkas JSON", "and {n} more; all of them are in the JSON file"),
    "causes": ("Penyebab", "Causes"),
    "cause": ("Penyebab", "Cause"),
    "details": ("Rincian layanan yang terganggu", "Services with something to tell"),
    "detail": ("Rincian", "Details"),
    "outages": ("Daftar gangguan", "Outages"),
    "no_outages": ("Tidak ada gangguan.", "No outage."),
    "onset": ("Mulai", "Onset"),
    "end": ("Pulih", "Recovered"),
    "lasting": ("masih padam", "still down"),
    "unseen_end": ("pulihnya tidak terpantau", "recovery not observed"),
    "length": ("Lama (j:mm:dd)", "Length (h:mm:ss)"),
    "counted": ("Dihitung di periode ini", "Counted in this period"),
    "reason": ("Sebab", "Reason"),
    "acknowledged": ("Ditangani", "Acknowledged"),
    "uncounted": ("di luar jam layanan atau dalam pemeliharaan", "outside service hours or in maintenance"),
    "begun_before": ("mulai sebelum periode ini", "began before this period"),
    "repair": ("Rerata waktu pulih (MTTR)", "Mean time to repair (MTTR)"),
    "repair_note": (
        "median {median}, terlama {longest}; dalam jam layanan {hours}",
        "median {median}, longest {longest}; within service hours {hours}",
    ),
    "response": ("Rerata waktu tanggap (MTTA)", "Mean time to acknowledge (MTTA)"),
    "response_note": (
        "median {median}, terlama {longest}; {n} belum ditangani",
        "median {median}, longest {longest}; {n} not acknowledged",
    ),
    "between": ("Rerata antargangguan (MTBF)", "Mean time between failures (MTBF)"),
    "resolution": ("Resolusi pemantauan", "Resolution"),
    "resolution_note": ("satu kali periksa tiap {step}", "one look every {step}"),
    "unobserved": ("Tak terpantau", "Unobserved"),
    "unobserved_note": ("{n} rentang, seluruhnya {total}", "{n} stretches, {total} in all"),
    "unobserved_rule": (
        "Rentang yang tidak terpantau. Waktu ini tidak dihitung berfungsi dan tidak dihitung padam.",
        "Stretches in which nobody looked. This time counts neither as up nor as down.",
    ),
    "every_service": ("semua layanan", "every service"),
    "n_services": ("{n} layanan", "{n} services"),
    "from": ("Dari", "From"),
    "to": ("Sampai", "To"),
    "maintenance": ("Pemeliharaan terjadwal", "Planned maintenance"),
    "approved_by": (
        "diusulkan {author}, disetujui {approver} pada {moment}",
        "proposed by {author}, approved by {approver} at {moment}",
    ),
    "work_counted": ("dihitung", "counted"),
    "work_late": ("tidak dihitung: disetujui setelah dimulai", "not counted: approved after it began"),
    "work_cancelled": ("dibatalkan {moment}", "cancelled {moment}"),
    "hours": ("Jam layanan", "Service hours"),
    "method": ("Cara menghitung", "How this was counted"),
    "digest": ("Sidik data (SHA-256 dari berkas JSON)", "Digest of the data (SHA-256 of the JSON file)"),
    "made": ("Dibuat {moment}", "Made {moment}"),
    "times_in": ("Semua waktu dalam {zone}.", "All times in {zone}."),
    "not_rated": ("tidak dinilai", "not rated"),
    "day_note": ("{day}: {status}, padam {down}", "{day}: {status}, down {down}"),
    "honesty": ("Yang tidak kami lihat", "What we did not see"),
    "rule_order": (
        (
            "Setiap saat dalam periode masuk ke golongan pertama yang cocok: di luar masa hidup layanan, di luar jam layanan, "
            "pemeliharaan yang disetujui sebelum dimulai, tak terpantau, padam, menurun, berfungsi."
        ),
        (
            "Every moment of the period falls into the first class that fits: outside the life of the service, outside service "
            "hours, maintenance approved before it began, unobserved, down, degraded, working."
        ),
    ),
    "rule_formula": (
        (
            "Ketersediaan = (waktu terpantau − waktu padam) ÷ waktu terpantau. Waktu padam dihitung sejak pemeriksaan gagal yang "
            "pertama sampai pemeriksaan baik yang pertama. Waktu menurun (lambat atau sebagian) dihitung tersedia dan dicantumkan "
            "terpisah."
        ),
        (
            "Availability = (observed time − time down) ÷ observed time. Time down runs from the first failed look to the first "
            "good one. Degraded time (slow or partial) counts as available and is shown apart."
        ),
    ),
    "rule_bounds": (
        (
            "Rentang menunjukkan angka terburuk dan terbaik yang mungkin: bila seluruh waktu yang tak terpantau ternyata padam, "
            "atau ternyata berfungsi. Bila cakupan pemantauan di bawah {floor} %, satu angka tidak dicetak, hanya rentangnya."
        ),
        (
            "The range shows the worst and the best that are possible: if all unobserved time was down, or was working. Where "
            "coverage is below {floor} %, no single number is printed, only the range."
        ),
    ),
    "rule_verdict": (
        (
            "Target dibandingkan dengan pecahan eksak: memenuhi bila angka terburuk mencapai target, tidak memenuhi bila angka "
            "terbaik pun tidak mencapainya, selain itu belum dapat disimpulkan. Tiga desimal dipotong, tidak dibulatkan: 100,000 "
            "hanya tercetak bila tidak ada waktu padam sama sekali."
        ),
        (
            "Targets are compared as exact fractions: met if even the worst reaches the target, missed if even the best does not, "
            "undecided otherwise. Three decimals are cut, not rounded: 100.000 is printed only if nothing was lost at all."
        ),
    ),
    "rule_pool": (
        "Angka gabungan menjumlahkan detik layanan berbobot (kritis 5, penting 3, pendukung 1); persen tidak pernah dirata-rata.",
        (
            "Figures of groups add up seconds weighted by criticality (critical 5, important 3, supporting 1); percentages are "
            "never averaged."
        ),
    ),
    "rule_outage": (
        (
            "Gangguan dihitung di periode tempat ia mulai; detiknya dipotong di batas periode. Kegagalan yang berjarak kurang dari "
            "5 menit berfungsi adalah satu gangguan. MTTR memakai gangguan yang pulih di periode ini, lama penuh; MTTA dari mulai "
            "padam sampai ditandai ditangani; MTBF = waktu berfungsi ÷ banyaknya gangguan yang mulai."
        ),
        (
            "An outage counts in the period where it began; its seconds are cut at the period's edges. Failures with less than 5 "
            "minutes of work between them are one outage. MTTR takes outages that ended in this period, at full length; MTTA runs "
            "from the onset to the acknowledgement; MTBF = time working ÷ outages begun."
        ),
    ),
    "rule_silence": (
        "Membisukan pesan tidak mengubah angka ini: layanan yang padam tetap dihitung padam.",
        "Muting messages changes nothing here: what is down counts as down.",
    ),
    "p_watched": (
        "Pada {period}, {n} layanan dipantau dengan cakupan {coverage}.",
        "In {period}, {n} services were watched with a coverage of {coverage}.",
    ),
    "p_none": (
        "Pada {period} tidak ada layanan yang dapat dinilai.",
        "In {period} there was no service to rate.",
    ),
    "p_verdicts": (
        "{met} memenuhi target, {missed} tidak memenuhi, {open} belum dapat disimpulkan.",
        "Target met: {met}, missed: {missed}, undecided: {open}.",
    ),
    "p_city": ("Ketersediaan gabungan {value}.", "Together they were available {value}."),
    "p_city_range": (
        "Ketersediaan gabungan tidak disebut dengan satu angka karena cakupannya kurang; rentangnya {value}.",
        "Their availability is not given as one number because too little was observed; it lies in {value}.",
    ),
    "p_calm": ("Tidak ada gangguan yang terlihat.", "No outage was seen."),
    "p_outages": (
        "Layanan padam {n} kali, seluruhnya {total}; terlama {longest} ({service}) karena {reason}.",
        "Services went down {n} times, {total} in all; the longest was {longest} ({service}): {reason}.",
    ),
    "p_open": ("{n} gangguan belum pulih.", "Not ended yet: {n}."),
    "csv_id": ("id", "id"),
    "csv_service": ("layanan", "service"),
    "csv_agency": ("perangkat_daerah", "agency"),
    "csv_weight": ("bobot", "weight"),
    "csv_target": ("target_persen", "target_percent"),
    "csv_verdict": ("hasil", "result"),
    "csv_availability": ("ketersediaan_persen", "availability_percent"),
    "csv_lower": ("batas_bawah_persen", "lower_percent"),
    "csv_upper": ("batas_atas_persen", "upper_percent"),
    "csv_coverage": ("cakupan_persen", "coverage_percent"),
    "csv_with_maintenance": ("termasuk_pemeliharaan_persen", "with_maintenance_percent"),
    "csv_slow": ("menurun_persen", "degraded_percent"),
    "csv_down_s": ("padam_detik", "down_seconds"),
    "csv_started": ("gangguan", "outages"),
    "csv_agreed_s": ("disepakati_detik", "agreed_seconds"),
    "csv_maint_s": ("pemeliharaan_detik", "maintenance_seconds"),
    "csv_unknown_s": ("tak_terpantau_detik", "unobserved_seconds"),
    "csv_mttr_s": ("mttr_detik", "mttr_seconds"),
    "csv_mtta_s": ("mtta_detik", "mtta_seconds"),
    "csv_mtbf_s": ("mtbf_detik", "mtbf_seconds"),
}
