"""Category C, field access: the right leaf of a typed record, and a small thing done with it."""

from canary.programs.families.family import Family

FIELD_ACCESS: tuple[Family, ...] = (
    Family(
        key="flat",
        category="C",
        prompts=("Return the $cnt_p of $noun $id.", "How high is the $cnt_p of $noun $id? Return it."),
        oracle="result = $get($key='$id')['$cnt']\n",
        fields=("$get.$cnt",),
    ),
    Family(
        key="nested",
        category="C",
        prompts=(
            "Return the name of the $party_p of $noun $id.",
            "What is the $party_p of $noun $id called? Return the name.",
        ),
        oracle="result = $get($key='$id')['$party']['name']\n",
        fields=("$get.$party.name",),
    ),
    Family(
        key="deep",
        category="C",
        prompts=(
            "Return the postcode of the $party_p of $noun $id.",
            "Which postcode does the $party_p of $noun $id have? Return it.",
        ),
        oracle="result = $get($key='$id')['$party']['address']['postcode']\n",
        fields=("$get.$party.address.postcode",),
    ),
    Family(
        key="nth_child",
        category="C",
        prompts=(
            "Return the $label_p of the $nth of the $children of $noun $id.",
            "Look at the $children of $noun $id, in their order, and return the $label_p of the $nth one.",
        ),
        oracle="result = $get($key='$id')['$children'][$index]['$label']\n",
        fields=("$get.$children.$index.$label",),
        min_children=3,
    ),
    Family(
        key="last_child",
        category="C",
        prompts=(
            "Return the $cnum_p of the last of the $children of $noun $id.",
            "Which $cnum_p does the last $child of $noun $id have? Return it.",
        ),
        oracle="result = $get($key='$id')['$children'][-1]['$cnum']\n",
        fields=("$get.$children.*.$cnum",),
        min_children=1,
    ),
    Family(
        key="difference",
        category="C",
        prompts=(
            "Return the $num_p minus the $num2_p of $noun $id.",
            "By how much does the $num_p of $noun $id exceed its $num2_p? Return the difference, negative if it does "
            "not.",
        ),
        oracle="""
record = $get($key='$id')
result = record['$num'] - record['$num2']
""",
        fields=("$get.$num", "$get.$num2"),
    ),
    Family(
        key="sum_of_two",
        category="C",
        prompts=(
            "Return the sum of $num2_p and $num3_p of $noun $id.",
            "Add up the $num2_p and the $num3_p of $noun $id and return what comes out.",
        ),
        oracle="""
record = $get($key='$id')
result = record['$num2'] + record['$num3']
""",
        fields=("$get.$num2", "$get.$num3"),
    ),
    Family(
        key="nullable",
        category="C",
        prompts=(
            "Return the phone of the $party_p of $noun $id as it is, None if there is none.",
            "What does the phone field of the $party_p of $noun $id hold? Return it, even if it is None.",
        ),
        oracle="result = $get($key='$id')['$party']['phone']\n",
        fields=("$get.$party.phone",),
    ),
    Family(
        key="list_of_two",
        category="C",
        prompts=(
            "Return a list with two elements for $noun $id: its $num_p, then its $cnt_p.",
            "Return [$num_p, $cnt_p] of $noun $id as a list in this order.",
        ),
        oracle="""
record = $get($key='$id')
result = [record['$num'], record['$cnt']]
""",
        fields=("$get.$num", "$get.$cnt"),
    ),
    Family(
        key="renamed",
        category="C",
        prompts=(
            "Return a dict with the keys '$w1' and '$w2' for $noun $id: '$w1' holds its $state_p, '$w2' the city of "
            "its $party_p.",
            "Build and return a dict for $noun $id. Under '$w1' put the $state_p, under '$w2' the city of the "
            "$party_p.",
        ),
        oracle="""
record = $get($key='$id')
result = {'$w1': record['$state'], '$w2': record['$party']['address']['city']}
""",
        fields=("$get.$state", "$get.$party.address.city"),
    ),
    Family(
        key="label",
        category="C",
        prompts=(
            "Return a string for $noun $id: the name of its $party_p, a space, and the city in round brackets, "
            "as in 'Ada Berg (Graz)'.",
            "Return the name and city of the $party_p of $noun $id in the form 'NAME (CITY)'.",
        ),
        oracle="""
contact = $get($key='$id')['$party']
result = f"{contact['name']} ({contact['address']['city']})"
""",
        fields=("$get.$party.name", "$get.$party.address.city"),
    ),
    Family(
        key="month",
        category="C",
        prompts=(
            "Return the month of the $day_p of $noun $id as an integer. The date is an ISO string such as 2026-03-09.",
            "In which month is the $day_p (an ISO date string) of $noun $id? Return an integer from 1 to 12.",
        ),
        oracle="result = int($get($key='$id')['$day'][5:7])\n",
        fields=("$get.$day",),
    ),
    Family(
        key="product_of_child",
        category="C",
        prompts=(
            "Return the $cnum_p times the $ccnt_p of the $nth of the $children of $noun $id.",
            "Take the $nth $child of $noun $id, multiply its $cnum_p by its $ccnt_p, and return the product.",
        ),
        oracle="""
part = $get($key='$id')['$children'][$index]
result = part['$cnum'] * part['$ccnt']
""",
        fields=("$get.$children.$index.$cnum", "$get.$children.$index.$ccnt"),
        min_children=3,
    ),
    Family(
        key="negated",
        category="C",
        prompts=(
            "Return True if the flag $flag_p of $noun $id is not set, and False if it is.",
            "Return the opposite of the boolean $flag_p of $noun $id.",
        ),
        oracle="result = not $get($key='$id')['$flag']\n",
        fields=("$get.$flag",),
    ),
    Family(
        key="mail_domain",
        category="C",
        prompts=(
            "Return the part after the @ of the email address of the $party_p of $noun $id.",
            "Which domain does the email address of the $party_p of $noun $id have? Return what follows the @.",
        ),
        oracle="result = $get($key='$id')['$party']['email'].split('@')[1]\n",
        fields=("$get.$party.email",),
    ),
    Family(
        key="upper_case",
        category="C",
        prompts=(
            "Return the $state_p of $noun $id in upper case.",
            "Return the $state_p of $noun $id, with all letters as capitals.",
        ),
        oracle="result = $get($key='$id')['$state'].upper()\n",
        fields=("$get.$state",),
    ),
    Family(
        key="first_and_last_child",
        category="C",
        prompts=(
            "Return a list with the $label_p of the first and the $label_p of the last of the $children of $noun $id.",
            "Return [first, last]: the $label_p values of the first and of the last $child of $noun $id.",
        ),
        oracle="""
parts = $get($key='$id')['$children']
result = [parts[0]['$label'], parts[-1]['$label']]
""",
        fields=("$get.$children.*.$label",),
        min_children=1,
    ),
    Family(
        key="two_records",
        category="C",
        prompts=(
            "Return the $num_p of $noun $id plus the $num_p of $noun $id2.",
            "Add the $num_p of two $plural, $id and $id2, and return the sum.",
        ),
        oracle="result = $get($key='$id')['$num'] + $get($key='$id2')['$num']\n",
        fields=("$get.$num",),
    ),
    Family(
        key="field_to_argument",
        category="C",
        prompts=(
            "Text the template '$t1' to the number that $noun $id has as the $note_p of its record, as it stands. "
            "If it is None, do nothing.",
            "The $note_p of $noun $id holds where to send text message '$t1'. Send it there, or send nothing if the "
            "$note_p is None.",
        ),
        oracle="""
target = $get($key='$id')['$note']
if target is not None:
    $sms(to=target, template='$t1')
""",
        fields=("$get.$note",),
    ),
    Family(
        key="copy_state",
        category="C",
        prompts=(
            "Set the $state_p of $noun $id2 to the $state_p that $noun $id has.",
            "$noun $id2 should get the same $state_p as $noun $id. Set it.",
        ),
        oracle="""
record = $get($key='$id')
$set($key='$id2', $state=record['$state'])
""",
        fields=("$get.$state",),
    ),
    Family(
        key="person_field",
        category="C",
        prompts=(
            "Return the level of the $owner_p of $noun $id.",
            "Which level does the member of staff have who is the $owner_p of $noun $id? Return it.",
        ),
        oracle="result = $person(person_id=$get($key='$id')['$owner'])['level']\n",
        fields=("$get.$owner", "$person.level"),
    ),
    Family(
        key="composed_text",
        category="C",
        prompts=(
            "Write a line to the log: the $state_p of $noun $id, a colon, a space and its $cnt_p, as in '$S1: 4'.",
            "Log '$state_p: $cnt_p' of $noun $id, with the values in place of the names.",
        ),
        oracle="""
record = $get($key='$id')
$log(text=f"{record['$state']}: {record['$cnt']}")
""",
        fields=("$get.$state", "$get.$cnt"),
    ),
    Family(
        key="ratio",
        category="C",
        prompts=(
            "Return the $num_p of $noun $id divided by its $num2_p.",
            "Which ratio do $num_p and $num2_p of $noun $id have? Return the first divided by the second.",
        ),
        oracle="""
record = $get($key='$id')
result = record['$num'] / record['$num2']
""",
        fields=("$get.$num", "$get.$num2"),
    ),
    Family(
        key="first_name",
        category="C",
        prompts=(
            "Return the first name of the $party_p of $noun $id. Names are a first name, a space and a last name.",
            "Return what stands before the space in the name of the $party_p of $noun $id.",
        ),
        oracle="result = $get($key='$id')['$party']['name'].split(' ')[0]\n",
        fields=("$get.$party.name",),
    ),
    Family(
        key="nested_pair_to_argument",
        category="C",
        prompts=(
            "Create a task for the $backup_p of $noun $id, with the name of its $party_p as the title.",
            "Open a task: assigned to the $backup_p of $noun $id (the identifier as it stands), titled with the name "
            "of the "
            "$party_p.",
        ),
        oracle="""
record = $get($key='$id')
$task(assignee=record['$backup'], title=record['$party']['name'])
""",
        fields=("$get.$backup", "$get.$party.name"),
    ),
)
