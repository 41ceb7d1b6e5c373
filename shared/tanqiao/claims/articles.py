"""The articles that a verdict may cite, each with a short sentence of our own in Chinese and English.

Article numbers of Shenzhen, Shanghai and Yunnan are those of the drafts the project starts from; the national
rules are in DOMAIN sections 2 and 3. Codes that begin with ``POLICY-`` are the bridge's own: no article
stands behind them, and the verdict says so instead of citing a law.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tanqiao.kernel.errors import require

POLICY_PREFIX: Final = "POLICY-"
_POLICY_ZH: Final = "碳桥规则（无法条依据）"
_POLICY_EN: Final = "bridge policy, no article"


@dataclass(frozen=True, slots=True)
class Article:
    """One citable rule; `rank` is its place among equally strict findings of one level."""

    code: str
    zh: str
    en: str
    rank: int

    @property
    def is_bridge_policy(self) -> bool:
        """Whether no article of law stands behind the rule."""
        return self.code.startswith(POLICY_PREFIX)


_SHENZHEN_ZH: Final = "深圳市碳普惠管理办法（送审稿）"
_SHENZHEN_EN: Final = "Shenzhen carbon-inclusion measures (draft for review)"
_SHANGHAI_ZH: Final = "上海市碳普惠管理办法（征求意见稿）"
_SHANGHAI_EN: Final = "Shanghai carbon-inclusion measures (draft for comment)"
_YUNNAN_ZH: Final = "中国（云南）自由贸易试验区碳排放权交易资源储备管理办法（草案）"
_YUNNAN_EN: Final = "Yunnan reserve measures (draft)"
_CCER_ZH: Final = "温室气体自愿减排交易管理办法（试行）"
_CCER_EN: Final = "National measures on voluntary reductions (trial)"
_NOTICE_ZH: Final = "国能综通新能〔2024〕124号"
_NOTICE_EN: Final = "Coordination notice 国能综通新能〔2024〕124号"

_TEXTS: Final = (
    (
        "SZ-22",
        f"{_SHENZHEN_ZH}第二十二条：已在其他自愿减排机制、绿电或绿证中申报的项目，不再签发",
        f"{_SHENZHEN_EN}, Art. 22: a project applied for elsewhere gets no second issuance",
    ),
    (
        "SH-14",
        f"{_SHANGHAI_ZH}第十四条：参与者承诺不重复参与其他减排项目，不参与绿电、绿证交易",
        f"{_SHANGHAI_EN}, Art. 14: participants commit not to take part elsewhere",
    ),
    (
        "SHCER02010022024II",
        "上海市碳普惠方法学 SHCER02010022024II：装有光伏的家庭不适用居民低碳用电场景",
        "Shanghai methodology SHCER02010022024II: the household scene excludes homes with solar panels",
    ),
    (
        "YN-3",
        f"{_YUNNAN_ZH}第三条、第四条：储备是前期开发，不签发也不交易",
        f"{_YUNNAN_EN}, Arts. 3 and 4: a reserve entry issues and trades nothing",
    ),
    (
        "YN-8",
        f"{_YUNNAN_ZH}第八条：项目储备机制",
        f"{_YUNNAN_EN}, Art. 8: the project reserve",
    ),
    (
        "CCER-10",
        f"{_CCER_ZH}第十条：纳入全国或地方碳市场配额管理的项目不得登记",
        f"{_CCER_EN}, Art. 10: a project under allowance management is not registered",
    ),
    (
        "CCER-16",
        f"{_CCER_ZH}第十六条：已注销的项目不得再次申请登记",
        f"{_CCER_EN}, Art. 16: a cancelled project may never be registered again",
    ),
    (
        "CCER-48",
        f"{_CCER_ZH}第四十八条：唯一性，项目未参与其他减排交易机制，减排量不重复计算",
        f"{_CCER_EN}, Art. 48: uniqueness of the project and of its reductions",
    ),
    (
        "N124-1",
        f"{_NOTICE_ZH}（一）：过渡期内仅深远海海上风电和光热发电可选择CCER",
        f"{_NOTICE_EN}, point 1: only deep-sea offshore wind and CSP may choose CCER",
    ),
    (
        "N124-2",
        f"{_NOTICE_ZH}（二）：绿证与CCER二选一，登记后冻结、核证后注销未交易绿证",
        f"{_NOTICE_EN}, point 2: certificates or CCER, unsold ones are frozen and then cancelled",
    ),
    (
        "N124-END",
        f"{_NOTICE_ZH}：过渡期为2024-10-01至2026-10-01，期外尚无接续规定",
        f"{_NOTICE_EN}: valid from 2024-10-01 to 2026-10-01, and no successor is loaded",
    ),
    (
        "GEC-ONCE",
        "国能发新能规〔2024〕67号、绿证管理实施细则（试行）第二十三条：绿证只能交易一次",
        "Certificate rules 国能发新能规〔2024〕67号 and Art. 23 of the 2026 detailed rules: sold once only",
    ),
    (
        "GEC-NONTRADABLE",
        "国能发新能规〔2024〕67号：自发自用、离网和存量常规水电的绿证不可交易",
        "Certificate rules 国能发新能规〔2024〕67号: self-use, off-grid and legacy hydro are not tradable",
    ),
    (
        "POLICY-L2",
        f"{_POLICY_ZH}：同一资产的同一属性在任一时刻只能主张一次，份额合计不超过 1 000 000 ppm",
        f"{_POLICY_EN}: one attribute of one asset is claimed once for any moment, shares fit in the whole",
    ),
    (
        "POLICY-GRAIN",
        f"{_POLICY_ZH}：仅知年度的期间是否重叠须人工判断",
        f"{_POLICY_EN}: whether a period known by the year overlaps is for a person to see",
    ),
    (
        "POLICY-BUCKET",
        f"{_POLICY_ZH}：同一标识的时段未被双方完整覆盖，由人工判断",
        f"{_POLICY_EN}: a person must look where not both cover a shared bucket whole",
    ),
    (
        "POLICY-CANDIDATE",
        f"{_POLICY_ZH}：相似只能提示，不能定案",
        f"{_POLICY_EN}: similarity nominates, it never decides",
    ),
    (
        "POLICY-SILENT",
        f"{_POLICY_ZH}：登记系统未答复不等于没有",
        f"{_POLICY_EN}: a registry that does not answer has not said no",
    ),
    (
        "POLICY-PRECEDENCE",
        f"{_POLICY_ZH}：同为已申报时，国家先于省、省先于市，其次时间在先，再次编号在先",
        f"{_POLICY_EN}: between pending claims national, provincial, municipal, then time, then id",
    ),
    (
        "POLICY-RESOLVED",
        f"{_POLICY_ZH}：案件经两个机构审批结案，仅对所列主张和本版矩阵有效",
        f"{_POLICY_EN}: two bodies resolved the case, for these claims and this matrix only",
    ),
    (
        "POLICY-SUPERSEDE",
        f"{_POLICY_ZH}：转换须先注销原有减排量",
        f"{_POLICY_EN}: a conversion counts only after the old units were cancelled",
    ),
    (
        "POLICY-GEC-FOREIGN",
        f"{_POLICY_ZH}：绿证销售与有效的国外减排量期间相交，须人工判断",
        f"{_POLICY_EN}: a certificate sale that meets a live foreign credit needs a person",
    ),
    (
        "POLICY-REPORT",
        f"{_POLICY_ZH}：地方主张不阻止绿证销售，但须告知该地方",
        f"{_POLICY_EN}: a regional claim does not stop a national sale, the region is told",
    ),
    (
        "POLICY-RESERVE-DUPLICATE",
        f"{_POLICY_ZH}：同一资源重复入储须人工复核",
        f"{_POLICY_EN}: one resource entered twice in the reserve needs a person",
    ),
    (
        "POLICY-ATTRIBUTE",
        f"{_POLICY_ZH}：同一设施的不同属性分别主张，如甲烷销毁与可再生发电",
        f"{_POLICY_EN}: two attributes of one plant, such as methane and power, are two things",
    ),
    (
        "POLICY-ASSET",
        f"{_POLICY_ZH}：同一编号体系下编号不同即为不同资产，名称不作数",
        f"{_POLICY_EN}: different references in one scheme are different assets, whatever the names",
    ),
    (
        "POLICY-GEOMETRY",
        f"{_POLICY_ZH}：地块相交面积超过容差才算冲突",
        f"{_POLICY_EN}: parcels conflict when their common area exceeds the tolerance",
    ),
    (
        "POLICY-ATTRIBUTE-UNKNOWN",
        f"{_POLICY_ZH}：名录未载明所售属性，可能与申请相同，须人工判断",
        f"{_POLICY_EN}: a list that does not tell what was sold leaves it to a person",
    ),
)

ARTICLES: Final[Mapping[str, Article]] = MappingProxyType(
    {code: Article(code, zh, en, rank) for rank, (code, zh, en) in enumerate(_TEXTS)}
)
"""Every citable rule by its code; the order is also the order of rank."""


def article(code: str) -> Article:
    """Give the article; one that the catalogue does not know breaks an invariant."""
    require(code in ARTICLES, f"no article {code}")
    return ARTICLES[code]
