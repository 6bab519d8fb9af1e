"""Country codes (ITU-T E.164) and the habits of dialling of some countries. Data only; a settings file may say otherwise.

Sources: for codes the list of assigned E.164 country codes, an annex to the ITU Operational Bulletin; for area codes within +1
NANPA and the Canadian administrator (CNA); for all else the national numbering plans (ITU-T E.129), such as Ofcom's National
Telephone Numbering Plan, ComReg 15/136R3 and Arcep's decision 2018-0881, as the metadata of libphonenumber 9.0 gathers them
(PhoneNumberMetadata.xml, ShortNumberMetadata.xml): every line was compared with it in November 2026. Emergency numbers that a
country has in force beside those (119 for children in France, say) are kept.

They change: a dial plan for real money is checked with the provider. Territories that share a code with a country, but not
its prices, have entries of their own.
"""

from dataclasses import dataclass

E164_DIGITS_MAX = 15  # ITU-T E.164

_SINGLE = """
20 EG 211 SS 212 MA 213 DZ 216 TN 218 LY 220 GM 221 SN 222 MR 223 ML 224 GN 225 CI 226 BF 227 NE 228 TG 229 BJ 230 MU 231 LR
232 SL 233 GH 234 NG 235 TD 236 CF 237 CM 238 CV 239 ST 240 GQ 241 GA 242 CG 243 CD 244 AO 245 GW 246 IO 247 AC 248 SC 249 SD
250 RW 251 ET 252 SO 253 DJ 254 KE 255 TZ 256 UG 257 BI 258 MZ 260 ZM 261 MG 262 RE 263 ZW 264 NA 265 MW 266 LS 267 BW 268 SZ
269 KM 27 ZA 290 SH 291 ER 297 AW 298 FO 299 GL 30 GR 31 NL 32 BE 33 FR 34 ES 350 GI 351 PT 352 LU 353 IE 354 IS 355 AL 356 MT
357 CY 358 FI 359 BG 36 HU 370 LT 371 LV 372 EE 373 MD 374 AM 375 BY 376 AD 377 MC 378 SM 379 VA 380 UA 381 RS 382 ME 383 XK
385 HR 386 SI 387 BA 389 MK 39 IT 40 RO 41 CH 420 CZ 421 SK 423 LI 43 AT 44 GB 45 DK 46 SE 47 NO 48 PL 49 DE 500 FK 501 BZ
502 GT 503 SV 504 HN 505 NI 506 CR 507 PA 508 PM 509 HT 51 PE 52 MX 53 CU 54 AR 55 BR 56 CL 57 CO 58 VE 590 GP 591 BO 592 GY
593 EC 594 GF 595 PY 596 MQ 597 SR 598 UY 599 CW 60 MY 61 AU 62 ID 63 PH 64 NZ 65 SG 66 TH 670 TL 672 NF 673 BN 674 NR 675 PG
676 TO 677 SB 678 VU 679 FJ 680 PW 681 WF 682 CK 683 NU 685 WS 686 KI 687 NC 688 TV 689 PF 690 TK 691 FM 692 MH 7 RU 76 KZ
77 KZ 81 JP 82 KR 84 VN 850 KP 852 HK 853 MO 855 KH 856 LA 86 CN 880 BD 886 TW 90 TR 91 IN 92 PK 93 AF 94 LK 95 MM 960 MV
961 LB 962 JO 963 SY 964 IQ 965 KW 966 SA 967 YE 968 OM 970 PS 971 AE 972 IL 973 BH 974 QA 975 BT 976 MN 977 NP 98 IR 992 TJ
993 TM 994 AZ 995 GE 996 KG 998 UZ
441481 GG 447781 GG 447839 GG 4479111 GG 4479117 GG 441534 JE 447509 JE 4477003 JE 4477007 JE 4477008 JE 447797 JE 447829 JE
447937 JE 441624 IM 4474576 IM 447524 IM 447624 IM 447924 IM
4779 SJ 35818 AX 3906698 VA 262269 YT 2622689 YT 262639 YT 26270935 YT 26270936 YT 26270937 YT 5993 BQ 5994 BQ 5997 BQ
1 US 1204 CA 1226 CA 1236 CA 1249 CA 1250 CA 1257 CA 1263 CA 1273 CA 1289 CA 1306 CA 1343 CA 1354 CA 1365 CA 1367 CA 1368 CA 1382 CA
1387 CA 1403 CA 1416 CA 1418 CA 1428 CA 1431 CA 1437 CA 1438 CA 1450 CA 1460 CA 1468 CA 1474 CA 1506 CA 1514 CA 1519 CA 1537 CA
1548 CA 1568 CA 1579 CA 1581 CA 1584 CA 1587 CA 1604 CA 1613 CA 1639 CA 1647 CA 1672 CA 1683 CA 1705 CA 1709 CA 1742 CA 1753 CA
1778 CA 1780 CA 1782 CA 1807 CA 1819 CA 1825 CA 1867 CA 1873 CA 1879 CA 1902 CA 1905 CA 1942 CA
1242 BS 1246 BB 1264 AI 1268 AG 1284 VG 1340 VI 1345 KY 1441 BM 1473 GD 1649 TC 1658 JM 1664 MS 1670 MP 1671 GU 1684 AS 1721 SX
1758 LC 1767 DM 1784 VC 1787 PR 1809 DO 1829 DO 1849 DO 1868 TT 1869 KN 1876 JM 1939 PR
"""
_SHARED = {
    "800": "international freephone",
    "808": "international shared cost",
    "870": "satellite (Inmarsat)",
    "878": "universal personal numbers",
    "881": "satellite",
    "882": "international networks",
    "883": "international networks",
    "888": "disaster relief",
    "979": "international premium rate",
}

CODES: dict[str, str] = dict(zip(*[iter(_SINGLE.split())] * 2, strict=True)) | _SHARED
"""The longest prefix of a number (without its plus sign) says whose it is: an ISO 3166 code, or words for shared codes."""

PREFIX_DIGITS_MAX = max(map(len, CODES))


@dataclass(frozen=True, slots=True)
class Country:
    """How people of one country dial.

    `national_prefix` stands before the area code ("" where there is none); `bare_digits` are the lengths of national numbers
    that are dialled without any prefix, (0, 0) where that is not done. `premium` are prefixes of national numbers, as
    dialled after the national prefix, that cost more than a call does, with the least and most digits of such numbers:
    where ordinary numbers begin the same, they have another length.
    """

    iso: str
    code: str
    international_prefixes: tuple[str, ...]
    national_prefix: str
    bare_digits: tuple[int, int]
    emergency: tuple[str, ...]
    premium: tuple[tuple[str, int, int], ...]

    def premium_prefix(self, national: str) -> str | None:
        """The prefix that makes a national number (without its national prefix) a premium one; None when none does."""
        digits = len(national)
        fits = (
            prefix for prefix, least, most in self.premium if least <= digits <= most and national.startswith(prefix)
        )
        return next(fits, None)


_HABITS = """
DE 49 00 0 - 110,112 900,190,137,138,180,118,12,700
AT 43 00 0 - 112,122,133,140,144 900,901,930,931,939,86,89,810,820,821,828
CH 41 00 0 - 112,117,118,143,144,145 900,901,906,840,842,844,848,878
LI 423 00 - 7-7 112,117,118,144 90
FR 33 00 0 - 112,15,17,18,114,119,196 81,82,83,84,85,86,88,89
GB 44 00 0 - 999,112 9,87,84,70,76,118:1-8
IE 353 00 0 - 112,999 15:10-15,185:10-15,189:10-15,76,70
NL 31 00 0 - 112 900,906,909,18:1-8
BE 32 00 0 - 112,100,101 90,70,78
LU 352 00 - 6-9 112,113 900,901,905,801
IT 39 00 - 8-11 112,113,115,117,118 89,199,178,144,163,164,166,84,0878,40,41,42,44,45,46,47,48,49
ES 34 00 - 9-9 112,061,062,080,085,088,091,092 803,806,807,901,902,905,907
PT 351 00 - 9-9 112,115 601,607,608,646,648,707,708,760,761,762,808,809
DK 45 00 - 8-8 112,114 90
NO 47 00 - 8-8 112,110,113 82,810
SE 46 00 0 - 112,90000 900,939,944,99,649
FI 358 00,990,991,994,996,999 0 - 112 600,606,700,202,209,300
IS 354 00 - 7-7 112 90
PL 48 00 - 9-9 112,997,998,999,986 70,801,804,300:8-15,400
CZ 420 00 - 9-9 112,150,155,156,158 90,976,81,83,84
SK 421 00 0 - 112,150,155,158 900,97,98
HU 36 00 06 - 112,104,105,107 90,91
RO 40 00 0 - 112 90
BG 359 00 0 - 112,150,160,166 90
GR 30 00 - 10-10 112,100,108,166,199 901,909,806,807,825
HR 385 00 0 - 112,192,193,194 60,61,64,65,69
SI 386 00 0 - 112,113 89,90
RS 381 00 0 - 112,192,193,194 90,78
EE 372 00 - 7-8 112,110 900,901,902,904,40
LV 371 00 - 8-8 112,110,113 90,81
LT 370 00 0 - 112,101,102,103 90,91,89
MT 356 00 - 8-8 112 5
CY 357 00 - 8-8 112,199 90
TR 90 00 0 - 112,110,155,156 900,888,898
RU 7 810 8 - 112,101,102,103,104,01,02,03,04 803,808,809
UA 380 00 0 - 112,101,102,103,104 900
IL 972 00,012,013,014,015,016,017,018,019 0 - 100,101,102,112 1200,1212,19
AE 971 00 0 - 999,998,997,112 900,700
SA 966 00 0 - 112,911,999,997,998 700,925
IN 91 00 0 10-10 112,100,101,102,108 1860,1861,1862
CN 86 00 0 - 110,119,120,122 160,168,900
HK 852 001 - 8-8 999,112 900
SG 65 000,001,002 - 8-8 999,995,993,112 190
JP 81 010 0 - 110,118,119 990,570,180
KR 82 00700,00701,001,002,005,006,008 0 - 112,119,113 60,700
TW 886 002,005,006,007,009,019 0 - 110,119,112 20
AU 61 0011 0 - 000,112,106 19
NZ 64 00 0 - 111 90,11,13,14,15,17,18,19,5000,5008,5030,5066,5077,5088:1-7
ZA 27 00 0 - 10111,10177,112 86,90,91,92
US 1 011 1 10-10 911 900,976
CA 1 011 1 10-10 911 900,976
MX 52 00 - 10-10 911,060,065,066,068,080 900
BR 55 00 0 - 190,191,192,193,128,112,911 300,303,400,500,900
AR 54 00 0 - 911,100,101,107 60
CL 56 00 - 9-9 131,132,133 600:10-15,700
CO 57 005,007,009,00 - 10-10 123,112,119,132,156 901,190,194
"""


def _country(line: str) -> Country:
    iso, code, international, national, bare, emergency, premium = line.split()
    low, _, high = bare.partition("-")
    return Country(
        iso,
        code,
        tuple(sorted(international.split(","), key=len, reverse=True)),
        national.strip("-"),
        (int(low), int(high)) if low else (0, 0),
        tuple(emergency.split(",")),
        tuple(map(_premium, premium.split(","))),
    )


def _premium(text: str) -> tuple[str, int, int]:
    """A prefix, or "prefix:least-most", the digits of a national number with it."""
    prefix, _, lengths = text.partition(":")
    least, _, most = lengths.partition("-")
    return prefix, int(least or 1), int(most or E164_DIGITS_MAX)


COUNTRIES: dict[str, Country] = {line[:2]: _country(line) for line in _HABITS.strip().splitlines()}
"""By ISO 3166 code."""

PREFIX_WITHIN = frozenset({"RU"})
"""Where numbers may begin with the digits of the national prefix; nowhere else do they."""

EMERGENCY_EVERYWHERE = frozenset({"112", "911"})  # every mobile network connects both (3GPP TS 22.101)

EMERGENCY_SOMEWHERE = EMERGENCY_EVERYWHERE.union(*(country.emergency for country in COUNTRIES.values()))
"""The emergency numbers of all these countries, for a node that does not know where it is."""
