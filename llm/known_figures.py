"""People and products that headlines name often, in English and Chinese: what no table of instruments has."""

PEOPLE = """
Elon Musk, Musk, 马斯克 | Tim Cook, 库克 | Mark Zuckerberg, Zuckerberg, 扎克伯格
Satoshi Nakamoto, Satoshi, 中本聪 | Vitalik Buterin, Buterin, V神 | Changpeng Zhao, CZ, 赵长鹏
Sam Bankman-Fried, Bankman-Fried, SBF | Michael Saylor, Saylor | Brian Armstrong | Do Kwon
Justin Sun, 孙宇晨 | Cathie Wood, 木头姐 | Larry Fink | Jerome Powell, Powell, 鲍威尔
Janet Yellen, Yellen, 耶伦 | Gary Gensler, Gensler | Christine Lagarde, Lagarde
Warren Buffett, Buffett, 巴菲特 | Charlie Munger, 芒格 | Bill Gates, 盖茨 | Jeff Bezos, Bezos, 贝佐斯
Andy Jassy | Jensen Huang, 黄仁勋 | Lisa Su, 苏姿丰 | Pat Gelsinger, Gelsinger | Satya Nadella, Nadella
Sundar Pichai, Pichai | Sam Altman, Altman | Jamie Dimon, Dimon | Bob Iger, Iger
Sheryl Sandberg, Sandberg | Bill Ackman, Ackman | Jim Cramer, Cramer | Michael Burry, Burry
Peter Schiff | Robert Kiyosaki, Kiyosaki | Nayib Bukele, Bukele | Donald Trump, Trump, 特朗普
Joe Biden, Biden, 拜登 | Kamala Harris | Barack Obama, Obama, 奥巴马 | Vladimir Putin, Putin, 普京
Xi Jinping, 习近平 | Elizabeth Warren | Rishi Sunak | Jack Ma, 马云 | Pony Ma, 马化腾
Ren Zhengfei, 任正非 | Lei Jun, 雷军 | Wang Chuanfu, 王传福 | Robin Zeng, 曾毓群 | 董明珠 | 王石 | 许家印
"""

PRODUCTS = """
iPhone, 苹果手机 | iPad | MacBook, iMac | AirPods | Apple Watch | Vision Pro | App Store | iOS | Model 3
Model Y | Model S | Model X | Cybertruck, 赛博皮卡 | Tesla Semi | Autopilot | Full Self-Driving, FSD
Instagram | WhatsApp | Oculus | Meta Quest | Threads | Horizon Worlds | Reels | Libra, Diem | Ryzen, 锐龙
EPYC, 霄龙 | Radeon | Xeon, 至强 | Ponte Vecchio | Gaudi | GeForce, RTX | Blackwell | Hopper | Windows
Azure | Xbox | Copilot | ChatGPT | Gemini | Bard | Pixel | Android | YouTube | Waymo | Alexa | Kindle
AWS, Amazon Web Services | Prime Day | Galaxy | PlayStation | Switch | 737 MAX | 787 Dreamliner
Lightning Network, 闪电网络 | Ordinals | Taproot | the Merge | Shanghai upgrade, Shapella | Dencun
Beacon Chain | 飞天茅台 | 麒麟芯片 | 刀片电池
"""

# Names of coins, companies and products that mean something else in small letters.
_EVERYDAY = """
apple target visa meta ford oracle shell block square unity snap match chase citi intel gap costco avalanche
maker curve stellar cosmos polygon optimism compound quant stacks terra dash near tether ripple threads reels
switch windows pixel bard hopper libra
"""
EVERYDAY = frozenset(_EVERYDAY.split())
# Tickers that are written as names, too.
TICKERS_AS_NAMES = frozenset({"META", "UBER", "EBAY", "ROKU", "SNAP"})


def parse_groups(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the groups of names in such a text; the names of a group mean one person or product."""
    return tuple(
        tuple(name.strip() for name in group.split(","))
        for line in text.strip().splitlines()
        for group in line.split("|")
    )
