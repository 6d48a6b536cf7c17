"""Category B, conditional logic: one decision, or several, on fields of a record."""

from canary.programs.families.family import Family

CONDITIONS: tuple[Family, ...] = (
    Family(
        key="if_else_state",
        category="B",
        prompts=(
            "If the $state_p of $noun $id is '$S1', email its $party_p the template '$t1'; otherwise email '$t2'.",
            "Email the $party_p of $noun $id: template '$t1' when its $state_p is '$S1', and '$t2' in any other case.",
        ),
        oracle="""
record = $get($key='$id')
if record['$state'] == '$S1':
    $mail(to=record['$party']['email'], template='$t1')
else:
    $mail(to=record['$party']['email'], template='$t2')
""",
        fields=("$get.$state", "$get.$party.email"),
    ),
    Family(
        key="above",
        category="B",
        prompts=(
            "If the $num_p of $noun $id is above $T, set its $state_p to '$S1'. Do nothing otherwise.",
            "Set the $state_p of $noun $id to '$S1', but only if its $num_p is more than $T.",
        ),
        oracle="""
record = $get($key='$id')
if record['$num'] > $T:
    $set($key='$id', $state='$S1')
""",
        fields=("$get.$num",),
    ),
    Family(
        key="at_least",
        category="B",
        prompts=(
            "Write '$w1' to the log if the $cnt_p of $noun $id is at least $K, and '$w2' if it is less.",
            "Log one word for $noun $id: '$w1' when its $cnt_p is $K or more, else '$w2'.",
        ),
        oracle="""
record = $get($key='$id')
if record['$cnt'] >= $K:
    $log(text='$w1')
else:
    $log(text='$w2')
""",
        fields=("$get.$cnt",),
    ),
    Family(
        key="phone_or_mail",
        category="B",
        prompts=(
            "Send the $party_p of $noun $id the text message '$t1' if there is a phone number (it is not None); "
            "else send '$t1' by email.",
            "Reach the $party_p of $noun $id with template '$t1': by text message where the phone is not None, "
            "by email where it is.",
        ),
        oracle="""
contact = $get($key='$id')['$party']
if contact['phone'] is not None:
    $sms(to=contact['phone'], template='$t1')
else:
    $mail(to=contact['email'], template='$t1')
""",
        fields=("$get.$party.phone", "$get.$party.email"),
    ),
    Family(
        key="between",
        category="B",
        prompts=(
            "Return '$w1' if the $num_p of $noun $id is from $T to $T2, both included, and '$w2' if it is not.",
            "Is the $num_p of $noun $id at least $T and at most $T2? Return '$w1' for yes and '$w2' for no.",
        ),
        oracle="""
amount = $get($key='$id')['$num']
if $T <= amount <= $T2:
    result = '$w1'
else:
    result = '$w2'
""",
        fields=("$get.$num",),
    ),
    Family(
        key="flag_and_not_flag",
        category="B",
        prompts=(
            "Post '$w1' in the channel '#$w2' if $noun $id has the flag $flag_p set and the flag $flag2_p not set. "
            "Do nothing otherwise.",
            "Only if the $flag_p flag of $noun $id is true and its $flag2_p flag is false, post '$w1' in '#$w2'.",
        ),
        oracle="""
record = $get($key='$id')
if record['$flag'] and not record['$flag2']:
    $post(channel='#$w2', text='$w1')
""",
        fields=("$get.$flag", "$get.$flag2"),
    ),
    Family(
        key="state_or_above",
        category="B",
        prompts=(
            "Add the note '$w1' to $noun $id if its $state_p is '$S1' or its $num_p is above $T, or both. Else do "
            "nothing.",
            "$noun $id gets the note '$w1' when at least one of these holds: $state_p '$S1'; $num_p more than $T.",
        ),
        oracle="""
record = $get($key='$id')
if record['$state'] == '$S1' or record['$num'] > $T:
    $annotate($key='$id', text='$w1')
""",
        fields=("$get.$state", "$get.$num"),
    ),
    Family(
        key="three_bands",
        category="B",
        prompts=(
            "Return '$w1' if the $num_p of $noun $id is below $T, '$w2' if it is at least $T and below $T2, "
            "and '$w3' from $T2 on.",
            "Classify $noun $id by its $num_p and return the class: under $T is '$w1', $T or more but under $T2 is "
            "'$w2', "
            "$T2 or more is '$w3'.",
        ),
        oracle="""
amount = $get($key='$id')['$num']
if amount < $T:
    result = '$w1'
elif amount < $T2:
    result = '$w2'
else:
    result = '$w3'
""",
        fields=("$get.$num",),
    ),
    Family(
        key="larger_field",
        category="B",
        prompts=(
            "Which is larger for $noun $id, the $num_p or the $num2_p? Return '$w1' for the $num_p, '$w2' for the "
            "$num2_p, "
            "and '$w3' if they are equal.",
            "Compare $num_p and $num2_p of $noun $id. Return '$w1' if the first is larger, '$w2' if the second is, "
            "'$w3' if neither.",
        ),
        oracle="""
record = $get($key='$id')
if record['$num'] > record['$num2']:
    result = '$w1'
elif record['$num'] < record['$num2']:
    result = '$w2'
else:
    result = '$w3'
""",
        fields=("$get.$num", "$get.$num2"),
    ),
    Family(
        key="larger_record",
        category="B",
        prompts=(
            "Return the identifier of the $noun with the higher $cnt_p, $id or $id2. If they are equal, return $id.",
            "Of the $plural $id and $id2, which has the higher $cnt_p? Return its identifier; for a tie, $id.",
        ),
        oracle="""
first = $get($key='$id')
second = $get($key='$id2')
if second['$cnt'] > first['$cnt']:
    result = '$id2'
else:
    result = '$id'
""",
        fields=("$get.$cnt",),
    ),
    Family(
        key="one_of_states",
        category="B",
        prompts=(
            "If the $state_p of $noun $id is '$S1' or '$S2', hand it over to its $backup_p; otherwise to its $owner_p.",
            "Assign $noun $id to a person: to its $backup_p where the $state_p is one of '$S1' and '$S2', else to its "
            "$owner_p.",
        ),
        oracle="""
record = $get($key='$id')
if record['$state'] in ('$S1', '$S2'):
    $assign($key='$id', person_id=record['$backup'])
else:
    $assign($key='$id', person_id=record['$owner'])
""",
        fields=("$get.$state", "$get.$backup", "$get.$owner"),
    ),
    Family(
        key="nested_condition",
        category="B",
        prompts=(
            "If $noun $id has the flag $flag_p set, write '$w1' to the log if its $cnt_p is above $K and '$w2' if it "
            "is not. "
            "If the flag is not set, do nothing.",
            "Only for a $noun with the $flag_p flag set: log '$w1' when the $cnt_p is more than $K, otherwise log "
            "'$w2'. "
            "Do that for $id.",
        ),
        oracle="""
record = $get($key='$id')
if record['$flag']:
    if record['$cnt'] > $K:
        $log(text='$w1')
    else:
        $log(text='$w2')
""",
        fields=("$get.$flag", "$get.$cnt"),
    ),
    Family(
        key="before_day",
        category="B",
        prompts=(
            "Set the $state_p of $noun $id to '$S1' if its $day_p is before $D, and to '$S2' if it is on that day or "
            "later. "
            "Dates are ISO strings.",
            "If the $day_p (an ISO date) of $noun $id is earlier than $D, its $state_p becomes '$S1'; else it becomes "
            "'$S2'.",
        ),
        oracle="""
record = $get($key='$id')
if record['$day'] < '$D':
    $set($key='$id', $state='$S1')
else:
    $set($key='$id', $state='$S2')
""",
        fields=("$get.$day",),
    ),
    Family(
        key="or_default",
        category="B",
        prompts=(
            "Return the $note_p of $noun $id, or '$w1' if it is None.",
            "What is the $note_p of $noun $id? Return it; where there is none (None), return '$w1'.",
        ),
        oracle="""
text = $get($key='$id')['$note']
if text is None:
    result = '$w1'
else:
    result = text
""",
        fields=("$get.$note",),
    ),
    Family(
        key="first_rule_wins",
        category="B",
        prompts=(
            "Return one word for $noun $id, by the first rule that holds: '$w1' if the flag $flag_p is set; "
            "'$w2' if the $state_p is '$S1'; '$w3' if the $num_p is above $T; else '$w4'.",
            "Go through these rules for $noun $id in order and return the word of the first that applies. "
            "$flag_p flag set: '$w1'. $state_p is '$S1': '$w2'. $num_p above $T: '$w3'. None of them: '$w4'.",
        ),
        oracle="""
record = $get($key='$id')
if record['$flag']:
    result = '$w1'
elif record['$state'] == '$S1':
    result = '$w2'
elif record['$num'] > $T:
    result = '$w3'
else:
    result = '$w4'
""",
        fields=("$get.$flag", "$get.$state", "$get.$num"),
    ),
    Family(
        key="unless_flag",
        category="B",
        prompts=(
            "Text the $party_p of $noun $id the template '$t1', unless the flag $flag_p is set or the phone is None. "
            "In those cases do nothing.",
            "Send text message '$t1' to the phone of the $party_p of $noun $id, except where the $flag_p flag is true "
            "or there is no phone (None): then send nothing.",
        ),
        oracle="""
record = $get($key='$id')
phone = record['$party']['phone']
if not record['$flag'] and phone is not None:
    $sms(to=phone, template='$t1')
""",
        fields=("$get.$flag", "$get.$party.phone"),
    ),
    Family(
        key="same_city",
        category="B",
        prompts=(
            "Return True if the $party_p of $noun $id and the $party_p of $noun $id2 live in the same city, else "
            "False.",
            "Do the $party_p of $id and the $party_p of $id2 (both $plural) have the same city in their addresses? "
            "Return True or False.",
        ),
        oracle="""
first = $get($key='$id')
second = $get($key='$id2')
result = first['$party']['address']['city'] == second['$party']['address']['city']
""",
        fields=("$get.$party.address.city",),
    ),
    Family(
        key="any_child",
        category="B",
        prompts=(
            "If any of the $children of $noun $id has the flag $cflag_p set, email the $party_p the template '$t1'. "
            "If none has, do nothing.",
            "Email '$t1' to the $party_p of $noun $id once, provided that at least one of its $children has "
            "$cflag_p set to true.",
        ),
        oracle="""
record = $get($key='$id')
if any(part['$cflag'] for part in record['$children']):
    $mail(to=record['$party']['email'], template='$t1')
""",
        fields=("$get.$children.*.$cflag", "$get.$party.email"),
    ),
    Family(
        key="enough_children",
        category="B",
        prompts=(
            "If $noun $id has fewer than 2 $children, add the note '$w1' to it; otherwise write its $state_p to the "
            "log.",
            "Count the $children of $noun $id. Below 2, attach the note '$w1' to the $noun. From 2 on, log its "
            "$state_p instead.",
        ),
        oracle="""
record = $get($key='$id')
if len(record['$children']) < 2:
    $annotate($key='$id', text='$w1')
else:
    $log(text=record['$state'])
""",
        fields=("$get.$state",),
    ),
    Family(
        key="two_decisions",
        category="B",
        prompts=(
            "Email one person about $noun $id. If the flag $flag_p is set the recipient is its $owner_p, else its "
            "$backup_p "
            "(both are staff). The template is '$t1' if the $num_p is at least $T, else '$t2'.",
            "Send one email about $noun $id to a member of staff: to the $owner_p where the $flag_p flag is true, "
            "otherwise to "
            "the $backup_p. Use template '$t1' for a $num_p of $T or more and '$t2' for less.",
        ),
        oracle="""
record = $get($key='$id')
if record['$flag']:
    recipient = $person(person_id=record['$owner'])
else:
    recipient = $person(person_id=record['$backup'])
if record['$num'] >= $T:
    template = '$t1'
else:
    template = '$t2'
$mail(to=recipient['email'], template=template)
""",
        fields=("$get.$flag", "$get.$num", "$get.$owner", "$get.$backup", "$person.email"),
    ),
)
