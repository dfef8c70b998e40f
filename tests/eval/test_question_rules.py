"""What the rules make of sentences and rows, and what they leave alone."""

from __future__ import annotations

import pytest

from eval.question_rules import drafts_of_sentence, names_in

NAMES = frozenset({"Skua", "OptiClean", "Fulmar", "Marten"})


def made(sentence: str, heading: str = "") -> dict[str, str]:
    return {draft.question: draft.answer for draft in drafts_of_sentence(sentence, heading, NAMES)}


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("Door logs are kept for 90 days.", "For how many days are door logs kept?", "90 days"),
        (
            "Urgent tests are reported within 90 minutes of arrival.",
            "Within how many minutes of arrival are urgent tests reported?",
            "90 minutes",
        ),
        ("The flash point of OptiClean 70 is 18 °C.", "What is the flash point of OptiClean 70?", "18 °C"),
        ("A new key costs 45 EUR.", "How much does a new key cost?", "45 EUR"),
        ("The crossing takes 55 minutes.", "How long does the crossing take?", "55 minutes"),
        ("The offer is valid until 30 September 2026.", "Until when is the offer valid?", "30 September 2026"),
        ("The Marten was built in 2014, in Skerrow.", "When was the Marten built?", "2014"),
        ("The Fulmar gateway holds 24 stations.", "How many stations does the Fulmar gateway hold?", "24 stations"),
        ("The exponent has at least 2 digits.", "How many digits does the exponent have?", "at least 2 digits"),
        (
            "The Fulmar gateway receives the radio messages of Skua stations.",
            "What does the Fulmar gateway receive?",
            "the radio messages of Skua stations",
        ),
        (
            "Delivery time is longer because the batteries are shipped by sea.",
            "Why is delivery time longer?",
            "the batteries are shipped by sea",
        ),
        (
            "Two-factor sign-in is required for every account.",
            "What is required for every account?",
            "two-factor sign-in",
        ),
        ("Office staff may work from home on Fridays.", "Who may work from home on Fridays?", "office staff"),
        ("Gifts are not allowed at any value.", "Are gifts allowed at any value?", "No"),
        ("1. Private sticks must not be used at work.", "May private sticks be used at work?", "No"),
    ],
)
def test_a_sentence_gives_its_question(sentence: str, question: str, answer: str) -> None:
    assert made(sentence)[question] == answer


@pytest.mark.parametrize(
    "sentence",
    [
        "It is kept for 90 days.",  # names nothing
        "First the URL is matched against the pattern of each rule.",  # "What ...?" "first the URL"
        "Now the key file contains an unencrypted copy of the key.",
        "Every registered module runs unless one returns an error.",  # the verb found is that of another clause
        "The handshake stage is available since version 2.4.39.",  # so are other things
        "Access control can be done by several different modules.",
        "The full list of properties is documented at Panel Properties.",
        "The triple layout is what might be called an adjacent mirror.",
        "The blog homepage – displays the latest few entries.",
        "The cache should not be used for code because it has been written badly.",  # two readings
        "The following is kept for 90 days.",
        "Private sticks are never left there for the night.",  # points to another sentence
        "If it rains, the party is held a week later.",
        "Are door logs kept for 90 days?",
        "Door logs",
        "Door logs are kept for 90 days",  # no end
        "Sign-in logs, which are large, are kept for 13 months.",
        "The type parameter specifies the hashing algorithm.",  # one of many
        "The name argument is used to refer to the event procedure in messages.",
        "Whatever data was in the column is kept for ten days.",
        "Samples of both positions can be sent free of charge.",
        "Information about stopping the server can be found in Section 19.5.",
        "The precision represents the maximum number of digits.",
        "More information can be found in the examples directory of the package.",
        "The locales package contains the directory under which the files are stored.",  # half an answer
        "The Debian package is not only an archive of files.",
        "Using the graphical interface can thus accelerate the deployment of services.",
        "Looking up an exact package name is the search of choice.",
        "The remaining five input formats are not part of any standard.",
        "A lower number represents a higher priority.",
        "The minimum wait time is ten seconds.",
        "The standard Python distribution includes a lot of additional code.",
        "The NULLIF function returns a null value if both arguments are equal.",
        "Sets the time the robots file was last fetched to the current time.",
        "Additional information is available on the home page of the project.",
        "typnotnull bool typnotnull represents a not-null constraint on a type.",
        "CREATE PARSER creates a new parser.",  # the answer tells no more than the question
        "",
        "x " * 500 + ".",
        "| a | b |",
        "Ключи хранятся 90 дней.",
    ],
)
def test_nothing_is_made_of_what_cannot_be_told(sentence: str) -> None:
    assert made(sentence) == {}


def test_what_must_not_be_is_asked_with_may() -> None:
    asked = made("Private sticks must not be connected to company computers.")
    assert asked["May private sticks be connected to company computers?"] == "No"


def test_the_default_of_a_setting_is_named_by_its_heading() -> None:
    asked = made("The default is 10 milliseconds.", "20.5. Settings > wal_writer_delay (integer)")
    assert asked == {"What is the default of wal_writer_delay according to Settings?": "10 milliseconds"}
    assert made("The default is 9.", "wal_writer_delay (integer)") == {"What is the default of wal_writer_delay?": "9"}
    assert made("The default is 10 milliseconds.", "Settings") == {}


def test_the_name_of_a_setting_is_the_whole_of_its_heading() -> None:
    assert made("The default is 0.", "Modules > auth_delay.milliseconds (integer)") == {
        "What is the default of auth_delay.milliseconds according to Modules?": "0"
    }
    assert made("The default is 0.", "F.3. auth_delay") == {}


def test_who_is_asked_for_people_alone() -> None:
    assert "What is stored in the pg_authid system catalog?" in made(
        "The password for each database user is stored in the pg_authid system catalog."
    )
    assert "What is done with the semanage user command?" in made(
        "Creating a new user identity is done with the semanage user command."
    )
    assert "Who is elected by the members for four years?" in made(
        "Ms Rennick is elected by the members for four years."
    )


def test_names_keep_their_capital_and_other_words_lose_it() -> None:
    names = names_in(["We sell the Skua and the Marten.", "Keys are lost. All keys count.", "In May Keys rose."])
    assert names >= {"Skua", "Marten"} and "Keys" not in names
    asked = [draft.question for draft in drafts_of_sentence("Skua stations are sold until 2018.", "", names)]
    assert asked == ["Until when are Skua stations sold?"]
