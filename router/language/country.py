"""The country of a customer's number, and the languages that people speak there.

The data is from Google's libphonenumber and from Unicode's CLDR
(https://www.unicode.org/cldr/charts/latest/supplemental/territory_language_information.html).
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from router.language.tag import read

# The weight of a language's speakers in a country, by the language's status. CLDR also counts speakers of second
# languages (45 % of the Swiss speak English), but people write to a business in an official language.
_WEIGHTS: Final = {"official": 1.0, "de_facto_official": 1.0, "official_regional": 0.5}
_WEIGHT: Final = 0.1
_LONGEST_CODE: Final = 3


def country_of(address: str, from_country: str = "") -> str:
    """Return the ISO 3166-1 country of a customer's address, "" if it is unknown.

    Args:
        address: the address in any form; telephone numbers have a country, and WhatsApp user ids that begin with one
            (`whatsapp:US.13491…`, `whatsapp:US.ENT.13491…`).
        from_country: Twilio's FromCountry, which is also correct for ported numbers.

    """
    if len(from_country) == 2 and from_country.isascii() and from_country.isalpha():  # noqa: PLR2004 - ISO 3166-1 alpha-2
        return from_country.upper()
    number = address.rpartition(":")[2].strip()
    if number.startswith("+"):
        return _country_of_number("+" + "".join(each for each in number if each.isdecimal() and each.isascii()))
    country, dot, rest = number.partition(".")
    return country if dot and len(country) == 2 and country.isupper() and rest.removeprefix("ENT.").isalnum() else ""  # noqa: PLR2004 - the same


def _country_of_number(number: str) -> str:
    codes = _codes()
    code = next((c for n in range(1, _LONGEST_CODE + 1) if (c := number[1 : n + 1]) in codes), "")
    countries = codes.get(code, ())
    if len(countries) == 1:
        return countries[0]
    if not countries:
        return ""
    # This call takes 25 to 120 us.
    return _asked(number) or countries[0]


@lru_cache(maxsize=16_384)
def _asked(number: str) -> str:
    import phonenumbers

    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number, None)) or ""
    except phonenumbers.NumberParseException:
        return ""


@lru_cache(maxsize=512)
def languages_of(country: str) -> Mapping[str, float]:
    """Return the languages in which people of a country probably write, by CLDR's tags (`de`, `zh-Hant`), with shares.

    The sum of the shares is 1. The result is empty for a country without data.
    """
    from babel.core import get_global

    weighed: dict[str, float] = {}
    for name, known in get_global("territory_languages").get(country.upper(), {}).items():
        tag = read(name)
        if tag is not None:
            weight = _WEIGHTS.get(known["official_status"], _WEIGHT)
            weighed[name.replace("_", "-")] = weight * known["population_percent"]
    total = sum(weighed.values())
    return MappingProxyType({name: weight / total for name, weight in weighed.items() if weight > 0})


@lru_cache(maxsize=1)
def _codes() -> Mapping[str, tuple[str, ...]]:
    """Return the countries of each calling code. The library is imported on first use, which takes 20 ms."""
    import phonenumbers

    # 001 stands for calling codes without a country (800, 870 …).
    return {
        str(code): tuple(region for region in regions if region != "001")
        for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
    }
