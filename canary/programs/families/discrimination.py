"""Category A, discrimination: answer directly, ask back, decline, or choose the right one of two similar tools."""

from canary.programs.families.family import Family, PlainFamily

_NOT = "(?:n't|n\u2019t| not)"
_DECLINES = (
    rf"(?i)\b(?:cannot|(?:ca|is|do|does){_NOT}|unable|not (?:able|possible|available|supported|equipped)|unavailable|"
    r"no (?:\w+ )?tools?\b|no way to|none of (?:the|my|these)|beyond|lack)"
)
_ASKS_BACK = (
    r"(?i)\b(?:which|what|who|specify|provide|tell me|let me know|need|clarify|missing|please (?:give|share|name))\b"
)

_CODES = {
    "404": "not found",
    "403": "forbidden",
    "401": "unauthori[sz]ed|not authenticated|authentication",
    "429": "too many requests|rate",
    "500": "internal server error|server error",
    "503": "unavailable",
    "301": "moved|permanent",
    "409": "conflict",
    "400": "bad request|malformed|invalid",
    "504": "timeout|timed out|time-out",
}
_CAPITALS = {
    "Norway": "Oslo",
    "Portugal": "Lisbon|Lisboa",
    "Austria": "Vienna|Wien",
    "Kenya": "Nairobi",
    "Japan": "Tokyo",
    "Canada": "Ottawa",
    "Peru": "Lima",
    "Egypt": "Cairo",
    "Finland": "Helsinki",
    "Greece": "Athens",
}
_ELEMENTS = {
    "iron": "Fe",
    "gold": "Au",
    "silver": "Ag",
    "sodium": "Na",
    "lead": "Pb",
    "tin": "Sn",
    "copper": "Cu",
    "potassium": "K",
    "mercury": "Hg",
    "tungsten": "W",
}
_ROMAN = {"XIV": 14, "XIX": 19, "XXIV": 24, "XL": 40, "XLIX": 49, "LX": 60, "XC": 90, "CX": 110, "CD": 400, "MC": 1100}
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PRODUCTS = ((12, 7), (17, 6), (23, 4), (15, 13), (19, 8), (31, 9), (14, 25), (45, 6), (28, 11), (37, 5))
_UNITS = (
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("kilometres", "metres", 1000),
    ("metres", "centimetres", 100),
    ("weeks", "days", 7),
    ("dozen", "pieces", 12),
)

DISCRIMINATION: tuple[Family | PlainFamily, ...] = (
    PlainFamily(
        key="know_status_code",
        prompts=(
            "What does the HTTP status $code mean?",
            "A server answered with status code $code. In words, what does that stand for?",
            "Explain HTTP $code in one sentence.",
        ),
        rows=tuple({"code": code, "meaning": meaning} for code, meaning in _CODES.items()),
        pattern=r"(?i)\b($meaning)",
    ),
    PlainFamily(
        key="know_product",
        prompts=("What is $a times $b?", "Multiply $a by $b.", "How much is $a multiplied by $b?"),
        rows=tuple({"a": str(a), "b": str(b), "product": str(a * b)} for a, b in _PRODUCTS),
        pattern=r"\b$product\b",
    ),
    PlainFamily(
        key="know_unit",
        prompts=(
            "How many $small are $n $large?",
            "Convert $n $large to $small.",
            "$n $large: how many $small is that?",
        ),
        rows=tuple(
            {"n": str(n), "large": large, "small": small, "value": str(n * factor)}
            for large, small, factor in _UNITS
            for n in (3, 4, 9)
        ),
        pattern=r"\b$value\b",
    ),
    PlainFamily(
        key="know_capital",
        prompts=(
            "What is the capital of $country?",
            "Name the capital city of $country.",
            "$country: which city is its capital?",
        ),
        rows=tuple({"country": country, "capital": capital} for country, capital in _CAPITALS.items()),
        pattern=r"\b($capital)\b",
    ),
    PlainFamily(
        key="know_weekday",
        prompts=(
            "Which day of the week comes $n days after $day_name?",
            "Today is $day_name. Which weekday is it in $n days?",
            "If it is $day_name now, name the weekday $n days later.",
        ),
        rows=tuple(
            {"day_name": day, "n": str(n), "later": _WEEKDAYS[(place + n) % 7]}
            for place, day in enumerate(_WEEKDAYS)
            for n in (2, 3)
        ),
        pattern=r"(?i)\b$later\b",
    ),
    PlainFamily(
        key="know_element",
        prompts=("What is the chemical symbol of $element?", "Which symbol stands for $element in the periodic table?"),
        rows=tuple({"element": element, "symbol": symbol} for element, symbol in _ELEMENTS.items()),
        pattern=r"\b$symbol\b",
    ),
    PlainFamily(
        key="know_roman",
        prompts=("Write the Roman numeral $numeral as a number.", "Which number is $numeral in Roman numerals?"),
        rows=tuple({"numeral": numeral, "value": str(value)} for numeral, value in _ROMAN.items()),
        pattern=r"(?:\b$value\b)",
    ),
    PlainFamily(
        key="decline_journey",
        prompts=(
            "Book me a $way to $city for tomorrow.",
            "Reserve a $way to $city, please.",
            "I need a $way to $city next week: buy it.",
        ),
        rows=tuple(
            {"way": way, "city": city}
            for way in ("flight", "train ticket", "rental car", "ferry")
            for city in ("Oslo", "Rome", "Kyoto")
        ),
        pattern=_DECLINES,
        tools=("get", "mail"),
    ),
    PlainFamily(
        key="decline_device",
        prompts=("$request.", "Please do this for me: $request.", "Could you see to it? $request."),
        rows=tuple(
            {"request": request}
            for request in (
                "Turn off the lights in the kitchen",
                "Play the latest jazz album",
                "Set the oven to 180 degrees",
                "Take a photo of the whiteboard",
                "Print three copies of the agenda",
                "Start the dishwasher",
                "Call my mother on the phone",
                "Lock the front door",
            )
        ),
        pattern=_DECLINES,
        tools=("get", "log"),
    ),
    PlainFamily(
        key="decline_delete",
        prompts=(
            "Delete $noun $id for good.",
            "Erase the $noun $id from the system permanently.",
            "Remove $noun $id so that nobody can find it again.",
        ),
        pattern=_DECLINES,
        tools=("get", "list"),
    ),
    PlainFamily(
        key="decline_other_record",
        prompts=(
            "What is the $thing of $id?",
            "Look up the $thing for $noun $id and tell me.",
            "I want to see the $thing that belongs to $noun $id.",
        ),
        rows=tuple(
            {"thing": thing}
            for thing in (
                "parking space",
                "favourite colour",
                "weather forecast",
                "share price",
                "blood type",
                "playlist",
                "wifi password",
            )
        ),
        pattern=_DECLINES,
        tools=("get", "mail"),
    ),
    PlainFamily(
        key="decline_media",
        prompts=(
            "Send a $media to the $party_p of $noun $id.",
            "The $party_p of $noun $id should get a $media: send it.",
            "Have a $media delivered to the $party_p of $noun $id.",
        ),
        rows=tuple(
            {"media": media}
            for media in ("printed letter", "fax", "bunch of flowers", "parcel", "telegram", "gift card")
        ),
        pattern=_DECLINES,
        tools=("get", "log"),
    ),
    PlainFamily(
        key="ask_which_record",
        prompts=(
            "Set the $state_p of the $noun to '$S1'.",
            "Please change the $noun's $state_p to '$S1'.",
            "The $noun must get the $state_p '$S1' now. Do it.",
        ),
        pattern=_ASKS_BACK,
        tools=("set", "get"),
    ),
    PlainFamily(
        key="ask_recipient",
        prompts=(
            "Send the email template '$t1'.",
            "Email '$t1' to her.",
            "The template '$t1' has to go out by email. Send it to him.",
        ),
        pattern=_ASKS_BACK,
        tools=("mail", "sms"),
    ),
    Family(
        key="mail_not_sms",
        category="A",
        prompts=(
            "Email the $party_p of $noun $id the template '$t1'.",
            "The $party_p of $noun $id should get an email from the template '$t1'.",
            "Send '$t1' by email, not by text message, to the $party_p of $noun $id.",
        ),
        oracle="""
record = $get($key='$id')
$mail(to=record['$party']['email'], template='$t1')
""",
        fields=("$get.$party.email",),
        twins=("sms",),
    ),
    Family(
        key="note_not_log",
        category="A",
        prompts=(
            "Add the note '$w1' to $noun $id.",
            "Attach a note that says '$w1' to the $noun $id.",
            "$noun $id needs the note '$w1'. Put it on the $noun, not in the log.",
        ),
        oracle="""
$annotate($key='$id', text='$w1')
""",
        fields=(),
        twins=("log", "get"),
    ),
    Family(
        key="one_not_list",
        category="A",
        prompts=(
            "Return the $num_p of $noun $id.",
            "Which $num_p does $noun $id have? Return it.",
            "I need the $num_p of the $noun $id as the result.",
        ),
        oracle="""
result = $get($key='$id')['$num']
""",
        fields=("$get.$num",),
        twins=("list",),
    ),
    Family(
        key="list_not_one",
        category="A",
        prompts=(
            "Return how many $plural there are for the $scope_p '$scope_value'.",
            "Count the $plural of $scope_p '$scope_value' and return the number.",
            "For $scope_p '$scope_value': how many $plural? Return the number.",
        ),
        oracle="""
result = len($list($scope='$scope_value')['$plural'])
""",
        fields=(),
        twins=("get",),
    ),
    Family(
        key="team_not_person",
        category="A",
        prompts=(
            "Return the name of the team that the $owner_p of $noun $id is in.",
            "In which team is the $owner_p of $noun $id? Return the team's name.",
            "Return the team name, not the person's name, of the $owner_p of $noun $id.",
        ),
        oracle="""
record = $get($key='$id')
staff = $person(person_id=record['$owner'])
result = $team(team_id=staff['team_id'])['name']
""",
        fields=("$get.$owner", "$person.team_id", "$team.name"),
        twins=("list",),
    ),
    Family(
        key="assign_not_set",
        category="A",
        prompts=(
            "Hand $noun $id over to its $backup_p.",
            "The $backup_p of $noun $id takes it over: assign it to that person.",
            "Assign $noun $id to the person who is its $backup_p.",
        ),
        oracle="""
record = $get($key='$id')
$assign($key='$id', person_id=record['$backup'])
""",
        fields=("$get.$backup",),
        twins=("set", "mail"),
    ),
)
