"""Names of plants and projects, taken apart into what tells two of them apart.

A name is read into its *core* (what is particular to it), its *marks* (phase, stage, section, side of the
compass), the provinces and the technology that it names. Chinese is written in Pinyin without tones, so
that it
meets the English lists. Words that every name has (project, wind farm, 水电站) carry no evidence and are left
out; so are capacities, which are a feature of their own.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

NAME_CHARACTERS_MAX: Final = 500
"""Longer names are cut: no register has them, and a hostile list must not make the search slow."""

_GENERIC_TEXT: Final = """
    project projects power powered station stations plant plants farm farms windfarm windfarms wind
    windpower hydro hydropower hydroelectric hydroelectricity electric electricity electrical energy
    small large scale smallscale generation generating generator utilization utilisation recovery
    recycling run runofriver solar pv photovoltaic photovoltaics bundle bundled dam coal coalmine mine
    methane cmm vam cbm lfg landfill landfills waste msw municipal solid site incineration biomass cogen
    cogeneration chp renewable clean gas grid connected grid-connected gridconnected ongrid mw mwp kw
    mwe and of the in for to with on at by from into as a county city province prefecture district
    autonomous region municipality banner league river china prc pr p r chn co ltd company limited
    corporation corp group inc new phase phases stage stages level levels cascade cascades period no
    number section block area unit units installation
"""
GENERIC_WORDS: Final = frozenset(_GENERIC_TEXT.split())
"""English words that say what kind of thing the name is of, and nothing about which."""

GENERIC_CHINESE: Final = re.compile(
    "风力发电场|风力发电|风电场|风电|光伏电站|光伏发电|光伏|太阳能|水力发电站|水力发电|水电站|水电|电站|"
    "热电厂|发电厂|电厂|发电|并网|"
    "垃圾焚烧|垃圾填埋气|填埋气|垃圾|焚烧|生物质|瓦斯|煤层气|煤矿|利用|工程|项目|"
    "有限责任公司|有限公司|集团|公司|小型|新建|扩建|海上|陆上"
)
PLACE_SUFFIXES: Final = re.compile(
    "特别行政区|维吾尔自治区|壮族自治区|回族自治区|自治[区州县旗]|地区|[省市县区盟旗州镇乡村]"
)

PROVINCES: Final = {
    "beijing": ("11", "北京"), "tianjin": ("12", "天津"), "hebei": ("13", "河北"), "shanxi": ("14", "山西"),
    "inner mongolia": ("15", "内蒙古"), "liaoning": ("21", "辽宁"), "jilin": ("22", "吉林"),
    "heilongjiang": ("23", "黑龙江"), "shanghai": ("31", "上海"), "jiangsu": ("32", "江苏"),
    "zhejiang": ("33", "浙江"), "anhui": ("34", "安徽"), "fujian": ("35", "福建"), "jiangxi": ("36", "江西"),
    "shandong": ("37", "山东"), "henan": ("41", "河南"), "hubei": ("42", "湖北"), "hunan": ("43", "湖南"),
    "guangdong": ("44", "广东"), "guangxi": ("45", "广西"), "hainan": ("46", "海南"),
    "chongqing": ("50", "重庆"), "sichuan": ("51", "四川"), "guizhou": ("52", "贵州"),
    "yunnan": ("53", "云南"),
    "tibet": ("54", "西藏"), "shaanxi": ("61", "陕西"), "gansu": ("62", "甘肃"), "qinghai": ("63", "青海"),
    "ningxia": ("64", "宁夏"), "xinjiang": ("65", "新疆"),
}  # fmt: skip
"""Provinces by English name: the first two digits of the division code (GB/T 2260) and the Chinese name."""

_PROVINCE_BY_CHINESE: Final = {chinese: english for english, (_, chinese) in PROVINCES.items()}
_ANY_CHINESE_PROVINCE: Final = re.compile("|".join(_PROVINCE_BY_CHINESE))
_ANY_ENGLISH_PROVINCE: Final = re.compile(rf"\b({'|'.join(PROVINCES)})\b")

_ROMAN: Final = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "x": 10}
_ORDINALS: Final = {
    word: number
    for number, words in enumerate(
        (
            "first one 1st firstlevel firststage yiji yiqi firstphase",
            "second two 2nd secondlevel secondstage erji erqi secondphase",
            "third three 3rd thirdlevel thirdstage sanji sanqi thirdphase",
            "fourth four 4th siji siqi",
            "fifth five 5th wuji wuqi",
            "sixth six 6th",
            "seventh seven 7th",
            "eighth eight 8th",
        ),
        start=1,
    )
    for word in words.split()
}
_COMPASS: Final = {"east": "E", "west": "W", "south": "S", "north": "N", "eastern": "E", "western": "W"}
_CHINESE_DIGITS: Final = {digit: number for number, digit in enumerate("一二三四五六七八九十", start=1)}
_CHINESE_MARK: Final = re.compile(
    r"第?([一二三四五六七八九十]|\d{1,2}|viii|vii|vi|iv|v|ix|x|iii|ii|i)(?:期|级|阶段|标段|号)"
)
_CAPACITY: Final = re.compile(
    r"\(?\b\d+(?:\.\d+)?\s*[x*]\s*\d+(?:\.\d+)?\s*[mkg]wp?e?\b\)?"
    r"|\b\d+(?:\.\d+)?\s*-?\s*[mkg]wp?e?\b|\d+(?:\.\d+)?(?:兆瓦|万千瓦|千瓦)"
)
_COUNTRY: Final = re.compile(r"\bp\.?\s?r\.?\s?(?:of\s)?china\b|\bpeople'?s republic of china\b")
_HAN: Final = re.compile(r"[\u4e00-\u9fff]+")
_WORD: Final = re.compile(r"[a-z0-9]+")
_SHORT_NUMBER: Final = re.compile(r"\d{1,2}")
_LETTERED: Final = re.compile(r"(\d{0,2})([a-h])")
_GLUED_COUNTRY: Final = re.compile(r"(?<=[a-z]{4})china$")

_TECHNOLOGIES: Final = (
    (
        "coal mine methane",
        re.compile(r"coal\s?(?:mine|bed) methane|\bcmm\b|\bvam\b|\bcbm\b|coalmine|瓦斯|煤层气"),
    ),
    ("waste", re.compile(r"landfill|\bwaste (?:incin|to)|\bmsw\b|\blfg\b|incinerat|垃圾|填埋")),
    ("biomass", re.compile(r"biomass|straw|bagasse|生物质|秸秆")),
    ("solar", re.compile(r"solar|photovoltaic|\bpv\b|光伏|太阳能")),
    ("wind", re.compile(r"\bwind|风电|风力|风场")),
    ("hydro", re.compile(r"hydro|水电|水力|\bdam\b|\bcascade\b")),
    ("nuclear", re.compile(r"nuclear|核电")),
    ("coal", re.compile(r"\bcoal\b|燃煤|煤电|火电")),
    ("gas", re.compile(r"natural gas|\blng\b|天然气|燃气")),
    ("oil", re.compile(r"\b(?:diesel|fuel oil|oil)\b|燃油")),
    ("geothermal", re.compile(r"geothermal|地热")),
)
"""Kinds of plants and the words by which lists name them; the first that fits counts."""


@dataclass(frozen=True, slots=True)
class NameParts:
    """What a name says.

    Attributes:
        words: the particular words, each once, in the order of the name.
        marks: phase, stage, section and compass, sorted; phases I and II of one farm differ in nothing else.
        provinces: two-digit codes of the provinces that the name names.
        technology: kind of the plant, where the name says it.
    """

    words: tuple[str, ...]
    marks: tuple[str, ...]
    provinces: frozenset[str]
    technology: str | None

    @property
    def compact(self) -> str:
        """The words without gaps: lists disagree about where a Chinese name is cut into words."""
        return "".join(self.words)


def technology_of(text: str) -> str | None:
    """Give the kind of plant that a type, a fuel or a name tells of, or None."""
    lowered = text.lower()
    return next((kind for kind, pattern in _TECHNOLOGIES if pattern.search(lowered)), None)


def _romanised(text: str) -> str:
    """Write each run of Chinese characters as one word in Pinyin (ISO 7098 without tones)."""
    from pypinyin import Style, lazy_pinyin

    return _HAN.sub(
        lambda run: " " + "".join(lazy_pinyin(run.group(), style=Style.NORMAL)).replace("ü", "v") + " ", text
    )


def pinyin_of(text: str) -> str:
    """Give a text in lower case without blanks, Chinese in Pinyin without tones, as it is typed to find it.

    Raises:
        ImportError: the extra `matching` is not installed.
    """
    return "".join(_romanised(unicodedata.normalize("NFKC", text[:NAME_CHARACTERS_MAX])).casefold().split())


def _without_chinese(text: str, marks: set[str], provinces: set[str]) -> str:
    """Take marks, provinces and general words out of Chinese text and romanise what is left."""

    def take_mark(found: re.Match[str]) -> str:
        value = found.group(1)
        marks.add(str(_CHINESE_DIGITS.get(value) or _ROMAN.get(value) or int(value)))
        return " "

    def take_province(found: re.Match[str]) -> str:
        provinces.add(PROVINCES[_PROVINCE_BY_CHINESE[found.group()]][0])
        return " "

    text = _CHINESE_MARK.sub(take_mark, text)
    text = _ANY_CHINESE_PROVINCE.sub(take_province, text)
    text = GENERIC_CHINESE.sub(" ", text)
    return _romanised(PLACE_SUFFIXES.sub(" ", text))


def _mark_of(word: str) -> str | None:
    """Give the mark that a word stands for: a number in any writing, a letter, a side of the compass."""
    if word in _COMPASS:
        return _COMPASS[word]
    number = _ROMAN.get(word) or _ORDINALS.get(word)
    if number is not None:
        return str(number)
    if _SHORT_NUMBER.fullmatch(word):
        return str(int(word))
    if re.fullmatch(r"\d{1,2}(?:st|nd|rd|th)", word):
        return str(int(word[:-2]))
    return word.upper() if _LETTERED.fullmatch(word) else None


def parse_name(name: str) -> NameParts:
    """Read a name in English, Pinyin or Chinese; an empty name has no words."""
    text = unicodedata.normalize("NFKC", name[:NAME_CHARACTERS_MAX]).lower()
    technology = technology_of(text)
    marks: set[str] = set()
    provinces: set[str] = set()
    text = _CAPACITY.sub(" ", _COUNTRY.sub(" ", text))
    if _HAN.search(text):
        text = _without_chinese(text, marks, provinces)
    # Apostrophes divide syllables (Xi'an); lists write them or leave them out.
    text = (
        re.sub(r"(?<=[a-z])['’`´](?=[a-z])", "", text).replace("-scale", "scale").replace("run-of-river", "")
    )
    text = re.sub(r"\b(in|nei)\s?mongol(ia)?\b|\binner-mongolia\b|\bneimenggu\b", "inner mongolia", text)
    for found in _ANY_ENGLISH_PROVINCE.finditer(text):
        provinces.add(PROVINCES[found.group()][0])
    particular = _ANY_ENGLISH_PROVINCE.sub(" ", text)
    words = _particular_words(particular, marks)
    # A plant that is called after its province and nothing else keeps that word.
    words = words or _particular_words(text, marks)
    return NameParts(words, tuple(sorted(marks)), frozenset(provinces), technology)


def _particular_words(text: str, marks: set[str]) -> tuple[str, ...]:
    words: dict[str, None] = {}
    for raw in _WORD.findall(text):
        word = _GLUED_COUNTRY.sub("", raw)
        if word in GENERIC_WORDS and word != "a":
            continue
        mark = _mark_of(word)
        if mark is not None:
            marks.add(mark)
        elif len(word) > 1:
            words[word] = None
    return tuple(words)
