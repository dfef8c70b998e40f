"""The short lists of English words, and the patterns over them, by which eval/question_rules.py turns sentences."""

from __future__ import annotations

import re


def any_of(words: str) -> str:
    """A pattern for any of the words, which are apart by white space; "_" stands for a space within one."""
    return "|".join(word.replace("_", " ") for word in words.split())


BE = any_of("is are was were")
MODAL = any_of("can may must should will could would might")
NUMBER = r"[+-]?\d+(?:[.,]\d+)*|" + any_of(
    "one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty"
)
_MONTHS = any_of("January February March April May June July August September October November December")
_UNITS = any_of(
    """seconds? minutes? hours? days? weeks? months? years? met(?:re|er)s? kilomet(?:re|er)s? miles? feet inches
    litres? kilograms? grams? tonnes? characters? bytes? kilobytes? megabytes? gigabytes? bits? pages? people members?
    pieces? places? columns? rows? tables? connections? processes times points? degrees? votes? rooms? flats? units?"""
)
_SYMBOLS = any_of(
    "% °C °F EUR USD euros? dollars? kWh MWh kW MW W V A Hz kHz MHz GHz mm cm km m/s km/h m² m kg g mg ml l MB GB TB "
    "kB ms s hPa lux ppm N·m knots"
)
_KIND = f"(?:(?:{any_of('calendar working business paid full extra square cubic nautical')}) )?"

AUXILIARY = re.compile(rf"(?P<subject>[A-Z0-9].{{2,90}}?) (?P<aux>{BE}|{MODAL}) (?P<rest>.+)\.")
COUNTED = re.compile(rf"(?P<number>{NUMBER}) (?P<unit>{_KIND}(?:{_UNITS}))\b")
QUANTITY = re.compile(rf"(?:±? ?(?:{NUMBER})) ?(?:{_SYMBOLS}|{_KIND}(?:{_UNITS}))(?![\w/])")
DATE = re.compile(
    rf"(?P<how>on|in|by|until|since|from) (?P<date>(?:\d{{1,2}} (?:{_MONTHS})(?: \d{{4}})?|"
    rf"(?:{_MONTHS})(?: \d{{1,2}},)?(?: \d{{4}})?|(?:1[6-9]|20)\d\d))(?![\w.,-]*\d)\b"
)
WHEN = {"by": "By when", "until": "Until when", "since": "Since when", "from": "From when on"}
LEADS = {"for": "For how many", "within": "Within how many", "after": "After how many"}

MEASURES = {"costs": "cost", "weighs": "weigh", "lasts": "last", "takes": "take"}  # 3rd person -> plain
COUNTS = {f"{verb}s": verb for verb in "hold get contain need receive serve support use keep".split()} | {
    "has": "have",
    "carries": "carry",
}
ACTS = {
    f"{verb}s": verb
    for verb in """accept affect allow build calculate check compute configure contain control convert create define
    delete describe determine disable display drop emit enable execute extract generate hold implement include indicate
    insert lock mark mean measure need offer own pay perform prevent print produce protect provide read receive record
    reduce remove rename repair replace represent require retrieve return select send serve show sort start stop
    store support terminate trigger use write""".split()
} | {"specifies": "specify", "modifies": "modify", "fetches": "fetch", "establishes": "establish"}
FINITE = re.compile(rf" (?P<verb>{'|'.join([*MEASURES, *COUNTS, *ACTS])}) ")

_NO_REST = any_of(
    "the an? not_an? not_only one part_of just simply also still now then therefore to free valid about available "
    "documented described discussed explained what how why where when"
)
# What may or can be, many things may or can: such a question names something, or says a good deal.
ALLOWS = re.compile(r"can|may|could|might")
NAMED = re.compile(r"\S*(?:[A-Z_\d]|\w[./]\w)\S*|(?:\S+ ){7}")
STARTS_NO_REST = re.compile(rf"(?:{_NO_REST}|{NUMBER}|[\d±])\b")

DEFAULT = re.compile(r"(?:The|Its) default (?:value |setting )?is (?P<answer>[^,;:()]{1,60}?)(?:[,;(].*)?\.")
SETTING = re.compile(r"(?:^|> )(?P<name>[a-z][a-z0-9]*(?:[_.][a-z0-9]+)+)(?: \([a-z ]+\))?$")
_PEOPLE = any_of(
    """staff members? employees? customers? users? providers? borrowers? lenders? tenants? managers? officers? visitors?
    passengers? drivers? superusers? owners? administrators? colleagues? board council team desk cracker developers?
    maintainers? volunteers?"""
)
# At the end of a subject, or at its beginning: "new users", "Ms Rennick".
PEOPLE = re.compile(rf"(?:^|.* )(?:{_PEOPLE})$|(?:{any_of('Mr Ms Mrs Dr')}) ", re.IGNORECASE)
# Words that point to another sentence.
_POINTERS = any_of(
    """it its they them their this that these those he she his her we our you your such above below here there so
    described following previous next same others? both specified particular corresponding respective given
    example remaining current"""
)
LEANS = re.compile(rf" (?:{_POINTERS}) ", re.IGNORECASE)
_COMPARED = any_of(
    "value lower higher larger smaller zero lot similar further third second more better good common very safer bit"
)
# A thing, but none that a reader could name: "a lot of code".
NO_THING = re.compile(rf"an? (?:{_COMPARED})\b")
# A subject may not begin with these: it would name nothing by itself.
_FIRST = any_of(
    """its? they their them this that these those he she his her we our you your i my there here such both each some
    many most all any one another others? if when where while because as since after before although however but and or
    so then thus for in on at by to from with without below above during until of not no only also the_same note what
    which who how why even within later earlier either neither several certain whether once unless see use please
    otherwise therefore hence instead furthermore moreover whatever more further additional details table
    figure chapter section now first second third finally suppose assume"""
)
_EMPTY = any_of(
    """default value result following former latter other first second last next above current reason number function
    argument option parameter command example syntax return actual given new old specified corresponding resulting two
    three only main rest rates? list product station version vehicle agreement price"""
)
VAGUE = re.compile(
    rf"(?:{_FIRST}|the (?:{_EMPTY})(?! of)|an? (?:{_COMPARED}))\b",
    re.IGNORECASE,
)
# "the type parameter", "the option": one of many, which only the sentences before tell apart.
_ONE_OF_MANY = any_of(
    """name value argument option parameter field column flag form variable setting function command procedure proc type
    file message string text list row result item entry script test configuration
    condition case step limit example output input query object method"""
)
_WIDE = any_of("work information process operation version machine time")
ONE_OF_MANY = re.compile(rf"\b[Tt]he (?:[a-z-]+ ){{0,2}}(?:{_ONE_OF_MANY}|{_WIDE})$")
LEANS_ON_ONE = re.compile(
    rf"\bthe (?:{_ONE_OF_MANY})\b(?! (?:of|[A-Z]|\w*[_\d]))|\b(?:Section|Appendix|Chapter|Table|Figure) [A-Z\d]"
)
PLURAL = re.compile(r"(?:[a-z]{2,}(?<![sui])|[A-Z]{2,})s$")  # "bits", "IDs", not "class", "status", "basis"
_PERSONS = any_of("owner author approver head lead manager contact editor chair translator")
ASKS_FOR_PEOPLE = re.compile(rf"(?:{_PERSONS})$")
_ENDS_OPEN = any_of("in of for by to at on with taken used")
# A column that no one thing can be asked for by: half a question, a list, a remark.
_NO_COLUMN = any_of(
    """who what when where which why how you we used due for in on by is has examples? notes? remarks?
    comments? answers? inputs? outputs? results?"""
)
NO_COLUMN = re.compile(rf"(?:{_NO_COLUMN})\b|.*[,\[(]|.* (?:{_ENDS_OPEN}|\d\d?)$", re.IGNORECASE)
# Begins, or is, no name but a condition: "1 to 3 working days", "below 97 %", "humidity 0 to 100 %".
_BOUNDS = any_of("above below under over less more up down from until at any all other")
RANGE = re.compile(rf"[^A-Za-z_./$]|(?:{_BOUNDS})\b|.*(?:\d to \d|[%<>=])", re.IGNORECASE)
# Words that compare or go on, so that the question does not stand by itself.
_HEDGES = any_of("still then thus also even barely hardly probably sometimes perhaps instead nevertheless further")
HEDGES = re.compile(rf" (?:{_HEDGES}) ")
# Words that show that a verb, or another clause, stands before the one that was found.
_OTHER_CLAUSE = any_of(
    """that which who whose whom when where if while because than and or but not also there has have had does do did
    gets? gives? makes? takes? uses? needs? pays? says? means? holds? keeps? allows? returns? contains? shows? sends?
    asked must can may will should is are was were to whether unless until once"""
)
CLAUSE = re.compile(rf"[,;:()\"“”\[\]|–—]| (?:{_OTHER_CLAUSE}) ", re.IGNORECASE)
JOINS = re.compile(r"[,;:()]| (?:and|or|but|if|when|that|which|who|unless|because|although|while) ")
FOLLOWS = re.compile(r", |[;:(]| (?:and|but|unless|although|while|if|when|because|so that|which) ")
ENDS_BADLY = re.compile(
    r"(?:^|\s)(?:and|or|of|the|a|an|to|for|with|in|on|by|as|than|that|but|at|from|until|within|per|"
    r"under|over|into|onto|through|between|during|after|before|without|about|against|via|whose|which|what|not)$",
    re.IGNORECASE,
)
