"""Category D, iteration: lists of records, lists inside records, and lists that come in pages."""

from canary.programs.families.family import Family

_OF = "the $plural of $scope_p '$scope_value'"

ITERATION: tuple[Family, ...] = (
    Family(
        key="effect_for_each",
        category="D",
        prompts=(
            f"Email the template '$t1' to the $party_p of each of {_OF}, in the order of the list.",
            f"Go through {_OF} in order and send '$t1' by email to every $party_p.",
        ),
        oracle="""
for record in $list($scope='$scope_value')['$plural']:
    $mail(to=record['$party']['email'], template='$t1')
""",
        fields=("$list.$plural.*.$party.email",),
    ),
    Family(
        key="filtered_sum",
        category="D",
        prompts=(
            f"Return the sum of the $num_p of those among {_OF} whose flag $flag_p is not set.",
            f"Of {_OF}, leave out those with the $flag_p flag set, and return the total of the others' $num_p.",
        ),
        oracle="""
result = sum(record['$num'] for record in $list($scope='$scope_value')['$plural'] if not record['$flag'])
""",
        fields=("$list.$plural.*.$num", "$list.$plural.*.$flag"),
    ),
    Family(
        key="count_state",
        category="D",
        prompts=(
            f"Return how many of {_OF} have the $state_p '$S1'.",
            f"Count {_OF} that are in $state_p '$S1', and return the number.",
        ),
        oracle="""
count = 0
for record in $list($scope='$scope_value')['$plural']:
    if record['$state'] == '$S1':
        count += 1
result = count
""",
        fields=("$list.$plural.*.$state",),
    ),
    Family(
        key="count_over_pages",
        category="D",
        prompts=(
            f"Return how many of {_OF} have a $cnt_p of at least $K. Read all pages: start at page 1 and go on until "
            "next_page is None.",
            f"{_OF} come in pages. Over all pages, from page 1 until next_page is None, count those whose $cnt_p is $K "
            "or more.",
        ),
        oracle="""
count = 0
page = 1
while page is not None:
    answer = $list($scope='$scope_value', page=page)
    for record in answer['$plural']:
        if record['$cnt'] >= $K:
            count += 1
    page = answer['next_page']
result = count
""",
        fields=("$list.$plural.*.$cnt",),
        paged=True,
    ),
    Family(
        key="collect_ids",
        category="D",
        prompts=(
            f"Return the list of identifiers of {_OF} whose $num_p is above $T, in the order of the list.",
            f"Which of {_OF} have a $num_p of more than $T? Return their id values as a list, order kept.",
        ),
        oracle="""
result = [record['id'] for record in $list($scope='$scope_value')['$plural'] if record['$num'] > $T]
""",
        fields=("$list.$plural.*.id", "$list.$plural.*.$num"),
    ),
    Family(
        key="highest",
        category="D",
        prompts=(
            f"Return the identifier of the one of {_OF} with the highest $cnt_p. With several, the first of them in "
            "the list; "
            "without any $plural, None.",
            f"Find, among {_OF}, the one whose $cnt_p is highest (the earliest in the list on a tie), and return its "
            "id. "
            "Return None for an empty list.",
        ),
        oracle="""
best = None
for record in $list($scope='$scope_value')['$plural']:
    if best is None or record['$cnt'] > best['$cnt']:
        best = record
if best is None:
    result = None
else:
    result = best['id']
""",
        fields=("$list.$plural.*.$cnt", "$list.$plural.*.id"),
    ),
    Family(
        key="earliest",
        category="D",
        prompts=(
            f"Return the earliest $day_p of {_OF}. Dates are ISO strings. Return None if there are no $plural.",
            f"Which is the earliest of the $day_p dates (ISO strings) of {_OF}? Return the date, or None for an empty "
            "list.",
        ),
        oracle="""
days = [record['$day'] for record in $list($scope='$scope_value')['$plural']]
result = min(days) if days else None
""",
        fields=("$list.$plural.*.$day",),
    ),
    Family(
        key="count_by_state",
        category="D",
        prompts=(
            f"Return a dict that gives, for each $state_p that occurs among {_OF}, how many of them have it.",
            f"Tally {_OF} by $state_p and return the counts as a dict with the $state_p as key.",
        ),
        oracle="""
counts = {}
for record in $list($scope='$scope_value')['$plural']:
    counts[record['$state']] = counts.get(record['$state'], 0) + 1
result = counts
""",
        fields=("$list.$plural.*.$state",),
    ),
    Family(
        key="any_above",
        category="D",
        prompts=(
            f"Return True if any of {_OF} has a $num_p of more than $T, else False.",
            f"Is there one among {_OF} whose $num_p is above $T? Return True or False.",
        ),
        oracle="""
result = any(record['$num'] > $T for record in $list($scope='$scope_value')['$plural'])
""",
        fields=("$list.$plural.*.$num",),
    ),
    Family(
        key="all_flagged",
        category="D",
        prompts=(
            f"Post '$w1' in '#$w3' if all of {_OF} have the flag $flag_p set, and '$w2' if not. An empty list counts "
            "as all.",
            f"Check the $flag_p flag of {_OF}. If it is set on every one of them (or there are none), post '$w1' in "
            "'#$w3', "
            "else post '$w2' there.",
        ),
        oracle="""
if all(record['$flag'] for record in $list($scope='$scope_value')['$plural']):
    $post(channel='#$w3', text='$w1')
else:
    $post(channel='#$w3', text='$w2')
""",
        fields=("$list.$plural.*.$flag",),
    ),
    Family(
        key="nested_sum",
        category="D",
        prompts=(
            f"Return the sum of the $ccnt_p over all $children of all {_OF.removeprefix('the ')}.",
            f"Add up the $ccnt_p of every $child of every one of {_OF}, and return the total.",
        ),
        oracle="""
total = 0
for record in $list($scope='$scope_value')['$plural']:
    for part in record['$children']:
        total += part['$ccnt']
result = total
""",
        fields=("$list.$plural.*.$children.*.$ccnt",),
    ),
    Family(
        key="first_match",
        category="D",
        prompts=(
            f"Return the identifier of the first of {_OF} whose $state_p is '$S2', or None if none is.",
            f"Search {_OF} in order for $state_p '$S2' and return the id of the first that has it; None if nothing is "
            "found.",
        ),
        oracle="""
result = None
for record in $list($scope='$scope_value')['$plural']:
    if record['$state'] == '$S2':
        result = record['id']
        break
""",
        fields=("$list.$plural.*.$state", "$list.$plural.*.id"),
    ),
    Family(
        key="sorted_ids",
        category="D",
        prompts=(
            f"Return the identifiers of {_OF}, sorted by their $day_p with the latest first. Those of one day stay in "
            "the order "
            "of the list. Dates are ISO strings.",
            f"Order {_OF} from the latest $day_p (an ISO string) to the earliest, ties as they stand in the list, and "
            "return "
            "the list of ids.",
        ),
        oracle="""
ordered = sorted($list($scope='$scope_value')['$plural'], key=lambda record: record['$day'], reverse=True)
result = [record['id'] for record in ordered]
""",
        fields=("$list.$plural.*.$day", "$list.$plural.*.id"),
        min_length=1,
    ),
    Family(
        key="distinct_sorted",
        category="D",
        prompts=(
            f"Return the cities of the $party_p of {_OF}, each once, in alphabetical order, as a list.",
            f"In which cities do the $party_p of {_OF} live? Return a sorted list without repetition.",
        ),
        oracle="""
cities = []
for record in $list($scope='$scope_value')['$plural']:
    city = record['$party']['address']['city']
    if city not in cities:
        cities.append(city)
result = sorted(cities)
""",
        fields=("$list.$plural.*.$party.address.city",),
    ),
    Family(
        key="mean_of_some",
        category="D",
        prompts=(
            f"Return the mean $num_p of those among {_OF} that have the flag $flag_p set, or None if there are none.",
            f"Average the $num_p over {_OF} whose $flag_p flag is true. Return the average, or None when no such $noun "
            "exists.",
        ),
        oracle="""
amounts = [record['$num'] for record in $list($scope='$scope_value')['$plural'] if record['$flag']]
if amounts:
    result = sum(amounts) / len(amounts)
else:
    result = None
""",
        fields=("$list.$plural.*.$num", "$list.$plural.*.$flag"),
    ),
    Family(
        key="until_budget",
        category="D",
        prompts=(
            f"Go through {_OF} in order and add up their $num_p as long as the total does not go above $BUDGET. Stop "
            "at the "
            "first that would take it above. Return the identifiers of those taken.",
            f"Take {_OF} one after the other. A $noun is taken if the running total of $num_p with it is at most "
            "$BUDGET; the first that does not fit ends it. Return the taken ids as a list.",
        ),
        oracle="""
total = 0
taken = []
for record in $list($scope='$scope_value')['$plural']:
    if total + record['$num'] > $BUDGET:
        break
    total += record['$num']
    taken.append(record['id'])
result = taken
""",
        fields=("$list.$plural.*.$num", "$list.$plural.*.id"),
    ),
    Family(
        key="effect_for_some",
        category="D",
        prompts=(
            f"Set the $state_p to '$S3' for each of {_OF} whose $num_p is below $T. Leave the others alone.",
            f"Every one of {_OF} with a $num_p of less than $T gets the $state_p '$S3', in the order of the list.",
        ),
        oracle="""
for record in $list($scope='$scope_value')['$plural']:
    if record['$num'] < $T:
        $set($key=record['id'], $state='$S3')
""",
        fields=("$list.$plural.*.$num", "$list.$plural.*.id"),
    ),
    Family(
        key="rises",
        category="D",
        prompts=(
            f"Return how often, in {_OF} taken in order, the $num_p is higher than that of the $noun just before it.",
            f"Compare each of {_OF} with the one before it in the list, and return the number of times that the $num_p "
            "went up.",
        ),
        oracle="""
records = $list($scope='$scope_value')['$plural']
count = 0
for place in range(1, len(records)):
    if records[place]['$num'] > records[place - 1]['$num']:
        count += 1
result = count
""",
        fields=("$list.$plural.*.$num",),
    ),
    Family(
        key="effects_over_pages",
        category="D",
        prompts=(
            f"Add the note '$w1' to each of {_OF} with the flag $flag_p set. Read all pages, from page 1 until "
            "next_page "
            "is None, and keep the order.",
            f"{_OF} come in pages (start at 1, follow next_page until it is None). Every one whose $flag_p flag is "
            "true gets "
            "the note '$w1', in order.",
        ),
        oracle="""
page = 1
while page is not None:
    answer = $list($scope='$scope_value', page=page)
    for record in answer['$plural']:
        if record['$flag']:
            $annotate($key=record['id'], text='$w1')
    page = answer['next_page']
""",
        fields=("$list.$plural.*.$flag", "$list.$plural.*.id"),
        paged=True,
    ),
    Family(
        key="most_children",
        category="D",
        prompts=(
            f"Return the largest number of $children that any of {_OF} has with $cstate_p '$C1'. Return 0 for an empty "
            "list.",
            f"For each of {_OF} count the $children whose $cstate_p is '$C1', and return the highest count, or 0 if "
            "there "
            "are no $plural.",
        ),
        oracle="""
most = 0
for record in $list($scope='$scope_value')['$plural']:
    count = len([part for part in record['$children'] if part['$cstate'] == '$C1'])
    if count > most:
        most = count
result = most
""",
        fields=("$list.$plural.*.$children.*.$cstate",),
    ),
)
