"""Category E, multi-step workflows: what one call returns decides the next."""

from canary.programs.families.family import Family

_OF = "the $plural of $scope_p '$scope_value'"

WORKFLOWS: tuple[Family, ...] = (
    Family(
        key="manager_of_owner",
        category="E",
        prompts=(
            "Email the template '$t1' to the manager of the $owner_p of $noun $id.",
            "The $owner_p of $noun $id has a manager. Send that manager the email template '$t1'.",
        ),
        oracle="""
record = $get($key='$id')
holder = $person(person_id=record['$owner'])
manager = $person(person_id=holder['manager_id'])
$mail(to=manager['email'], template='$t1')
""",
        fields=("$get.$owner", "$person.manager_id", "$person.email"),
    ),
    Family(
        key="check_act_log",
        category="E",
        prompts=(
            "If the $cnt_p of $noun $id is at least $K, create a task '$w1' for its $owner_p and write the new task's "
            "identifier to the log. Otherwise write '$w2' to the log.",
            "Look at the $cnt_p of $noun $id. From $K on: open a task titled '$w1' for the $owner_p and log its "
            "task_id. "
            "Below $K: only log '$w2'.",
        ),
        oracle="""
record = $get($key='$id')
if record['$cnt'] >= $K:
    created = $task(assignee=record['$owner'], title='$w1')
    $log(text=created['task_id'])
else:
    $log(text='$w2')
""",
        fields=("$get.$cnt", "$get.$owner", "$task.task_id"),
    ),
    Family(
        key="rank_by_person",
        category="E",
        prompts=(
            f"Of {_OF}, return the identifier of the one whose $owner_p has the highest level. On a tie, the first in "
            "the list.",
            f"Which of {_OF} has the $owner_p with the highest level? Return its id; for equal levels, the earliest in "
            "the list.",
        ),
        oracle="""
best_level = None
for record in $list($scope='$scope_value')['$plural']:
    level = $person(person_id=record['$owner'])['level']
    if best_level is None or level > best_level:
        best_id = record['id']
        best_level = level
result = best_id
""",
        fields=("$list.$plural.*.$owner", "$list.$plural.*.id", "$person.level"),
        min_length=1,
    ),
    Family(
        key="team_channel",
        category="E",
        prompts=(
            "Post the $state_p of $noun $id in the channel of the team that its $owner_p is in.",
            "Find the team of the $owner_p of $noun $id and post the $noun's $state_p in that team's channel.",
        ),
        oracle="""
record = $get($key='$id')
holder = $person(person_id=record['$owner'])
group = $team(team_id=holder['team_id'])
$post(channel=group['channel'], text=record['$state'])
""",
        fields=("$get.$owner", "$get.$state", "$person.team_id", "$team.channel"),
    ),
    Family(
        key="on_leave",
        category="E",
        prompts=(
            "Email '$t1' to the $owner_p of $noun $id, or to the $backup_p if the $owner_p is on leave.",
            "Send the template '$t1' about $noun $id to its $owner_p. Where that person is on leave, send it to the "
            "$backup_p "
            "instead.",
        ),
        oracle="""
record = $get($key='$id')
recipient = $person(person_id=record['$owner'])
if recipient['on_leave']:
    recipient = $person(person_id=record['$backup'])
$mail(to=recipient['email'], template='$t1')
""",
        fields=("$get.$owner", "$get.$backup", "$person.on_leave", "$person.email"),
    ),
    Family(
        key="each_owner_once",
        category="E",
        prompts=(
            f"Email '$t1' to the $owner_p of each of {_OF}, but only once to the same person, in the order in which "
            "they first "
            "occur.",
            f"Everybody who is the $owner_p of one or more of {_OF} gets exactly one email '$t1', in order of first "
            "appearance.",
        ),
        oracle="""
seen = []
for record in $list($scope='$scope_value')['$plural']:
    owner = record['$owner']
    if owner not in seen:
        seen.append(owner)
        $mail(to=$person(person_id=owner)['email'], template='$t1')
""",
        fields=("$list.$plural.*.$owner", "$person.email"),
    ),
    Family(
        key="longer_list",
        category="E",
        prompts=(
            "Write to the log which $scope_p has more $plural with $state_p '$S1': '$scope_value' or '$scope_value2'. "
            "Write "
            "'$w1' if both have equally many.",
            "Count the $plural whose $state_p is '$S1' in the $scope_p '$scope_value' and in '$scope_value2'. Log the "
            "name of the "
            "$scope_p with the higher count, or '$w1' for a tie.",
        ),
        oracle="""
here = [record for record in $list($scope='$scope_value')['$plural'] if record['$state'] == '$S1']
there = [record for record in $list($scope='$scope_value2')['$plural'] if record['$state'] == '$S1']
if len(here) > len(there):
    $log(text='$scope_value')
elif len(here) < len(there):
    $log(text='$scope_value2')
else:
    $log(text='$w1')
""",
        fields=("$list.$plural.*.$state",),
    ),
    Family(
        key="task_note_state",
        category="E",
        prompts=(
            "For $noun $id, in this order: create a task '$w1' for its $owner_p; add a note with the new task's "
            "identifier to "
            "the $noun; set its $state_p to '$S1'.",
            "Do three things with $noun $id, one after the other. Open a task titled '$w1' for the $owner_p. Attach "
            "its task_id "
            "as a note. Change the $state_p to '$S1'.",
        ),
        oracle="""
record = $get($key='$id')
created = $task(assignee=record['$owner'], title='$w1')
$annotate($key='$id', text=created['task_id'])
$set($key='$id', $state='$S1')
""",
        fields=("$get.$owner", "$task.task_id"),
    ),
    Family(
        key="by_team_size",
        category="E",
        prompts=(
            "Find the team of the $owner_p of $noun $id. If its size is above $K, post '$w1' in its channel; otherwise "
            "email its "
            "lead the template '$t1'.",
            "Tell the team of the $owner_p of $noun $id: more than $K people get '$w1' posted in their channel; for a "
            "smaller "
            "or equal team the lead gets the email '$t1'.",
        ),
        oracle="""
holder = $person(person_id=$get($key='$id')['$owner'])
group = $team(team_id=holder['team_id'])
if group['size'] > $K:
    $post(channel=group['channel'], text='$w1')
else:
    lead = $person(person_id=group['lead_id'])
    $mail(to=lead['email'], template='$t1')
""",
        fields=("$get.$owner", "$person.team_id", "$team.size", "$team.channel", "$team.lead_id", "$person.email"),
    ),
    Family(
        key="two_teams",
        category="E",
        prompts=(
            "Return True if the $owner_p and the $backup_p of $noun $id are in the same team, else False.",
            "Are the $owner_p and the $backup_p of $noun $id members of one team? Return True or False.",
        ),
        oracle="""
record = $get($key='$id')
first = $person(person_id=record['$owner'])
second = $person(person_id=record['$backup'])
result = first['team_id'] == second['team_id']
""",
        fields=("$get.$owner", "$get.$backup", "$person.team_id"),
    ),
    Family(
        key="task_for_each",
        category="E",
        prompts=(
            f"Create a task for the $owner_p of each of {_OF} with $state_p '$S1', titled with the identifier of the "
            "$noun. "
            "Return how many tasks were created.",
            f"Every one of {_OF} that is in $state_p '$S1' needs a task: for its $owner_p, with its id as the title, "
            "in the order "
            "of the list. Return the number of tasks.",
        ),
        oracle="""
count = 0
for record in $list($scope='$scope_value')['$plural']:
    if record['$state'] == '$S1':
        $task(assignee=record['$owner'], title=record['id'])
        count += 1
result = count
""",
        fields=("$list.$plural.*.$state", "$list.$plural.*.$owner", "$list.$plural.*.id"),
    ),
    Family(
        key="swap_states",
        category="E",
        prompts=(
            "Swap the $state_p of the $plural $id and $id2: set that of $id first, then that of $id2. If they are the "
            "same "
            "already, do nothing.",
            "$noun $id gets the $state_p of $id2, and then $id2 the one that $id had. Only if the two differ.",
        ),
        oracle="""
first = $get($key='$id')['$state']
second = $get($key='$id2')['$state']
if first != second:
    $set($key='$id', $state=second)
    $set($key='$id2', $state=first)
""",
        fields=("$get.$state",),
    ),
    Family(
        key="two_lists",
        category="E",
        prompts=(
            "Return the total of the $num_p of the $plural in both $scope_p '$scope_value' and $scope_p "
            "'$scope_value2', "
            "counting only those with the flag $flag_p set.",
            "Over the $plural of two $scope_p values, '$scope_value' and '$scope_value2', sum the $num_p where the "
            "$flag_p flag "
            "is true. Return the sum.",
        ),
        oracle="""
total = 0
for scope in ['$scope_value', '$scope_value2']:
    for record in $list($scope=scope)['$plural']:
        if record['$flag']:
            total += record['$num']
result = total
""",
        fields=("$list.$plural.*.$num", "$list.$plural.*.$flag"),
    ),
    Family(
        key="top_of_chain",
        category="E",
        prompts=(
            "Start at the $owner_p of $noun $id and go from manager to manager until somebody has none (manager_id is "
            "None). "
            "Return the name of that person.",
            "Who stands at the top of the line of managers above the $owner_p of $noun $id? Follow manager_id until it "
            "is None "
            "and return the name.",
        ),
        oracle="""
holder = $person(person_id=$get($key='$id')['$owner'])
while holder['manager_id'] is not None:
    holder = $person(person_id=holder['manager_id'])
result = holder['name']
""",
        fields=("$get.$owner", "$person.manager_id", "$person.name"),
        orphans=True,
    ),
    Family(
        key="mail_and_log_each",
        category="E",
        prompts=(
            f"For each of {_OF} whose flag $flag_p is set: email its $party_p the template '$t1', then write the "
            "identifier of the "
            "$noun to the log.",
            f"Go through {_OF}. Where $flag_p is true, first send '$t1' by email to the $party_p, then log the id.",
        ),
        oracle="""
for record in $list($scope='$scope_value')['$plural']:
    if record['$flag']:
        $mail(to=record['$party']['email'], template='$t1')
        $log(text=record['id'])
""",
        fields=("$list.$plural.*.$flag", "$list.$plural.*.$party.email", "$list.$plural.*.id"),
    ),
    Family(
        key="owner_of_largest",
        category="E",
        prompts=(
            f"Find the one of {_OF} with the largest $num_p (the first of them on a tie) and email its $owner_p the "
            "template '$t1'. "
            "Do nothing if there are no $plural.",
            f"The $owner_p of the one among {_OF} whose $num_p is largest gets the email '$t1'. On a tie the earliest "
            "in the list "
            "counts; with an empty list nothing is sent.",
        ),
        oracle="""
records = $list($scope='$scope_value')['$plural']
if records:
    largest = max(records, key=lambda record: record['$num'])
    $mail(to=$person(person_id=largest['$owner'])['email'], template='$t1')
""",
        fields=("$list.$plural.*.$num", "$list.$plural.*.$owner", "$person.email"),
    ),
    Family(
        key="hand_to_other_owner",
        category="E",
        prompts=(
            "Of the $plural $id and $id2, take the one with the lower $num_p and hand it over to the $owner_p of the "
            "other. If both "
            "are equal, write '$w1' to the log instead.",
            "Compare the $num_p of $noun $id and $noun $id2. The $noun with less is assigned to the $owner_p of the "
            "$noun with "
            "more. When they are equal, only log '$w1'.",
        ),
        oracle="""
first = $get($key='$id')
second = $get($key='$id2')
if first['$num'] < second['$num']:
    $assign($key='$id', person_id=second['$owner'])
elif first['$num'] > second['$num']:
    $assign($key='$id2', person_id=first['$owner'])
else:
    $log(text='$w1')
""",
        fields=("$get.$num", "$get.$owner"),
    ),
    Family(
        key="escalate",
        category="E",
        prompts=(
            "Email '$t1' to the $owner_p of $noun $id. If the $num_p is above $T and the $owner_p has a manager "
            "(manager_id is not "
            "None), email '$t2' to the manager after that.",
            "First the $owner_p of $noun $id gets the email '$t1'. Then, only for a $num_p of more than $T and only if "
            "the "
            "$owner_p's manager_id is not None, the manager gets '$t2'.",
        ),
        oracle="""
record = $get($key='$id')
holder = $person(person_id=record['$owner'])
$mail(to=holder['email'], template='$t1')
if record['$num'] > $T and holder['manager_id'] is not None:
    manager = $person(person_id=holder['manager_id'])
    $mail(to=manager['email'], template='$t2')
""",
        fields=("$get.$owner", "$get.$num", "$person.manager_id", "$person.email"),
        orphans=True,
    ),
    Family(
        key="team_totals",
        category="E",
        prompts=(
            f"Return a dict from team_id to the sum of the $num_p of {_OF}, each counted for the team of its $owner_p.",
            f"Sum the $num_p of {_OF} by the team of the $owner_p, and return a dict with the team_id as key.",
        ),
        oracle="""
totals = {}
for record in $list($scope='$scope_value')['$plural']:
    team_id = $person(person_id=record['$owner'])['team_id']
    totals[team_id] = totals.get(team_id, 0) + record['$num']
result = totals
""",
        fields=("$list.$plural.*.$num", "$list.$plural.*.$owner", "$person.team_id"),
    ),
    Family(
        key="tasks_then_state",
        category="E",
        prompts=(
            "For each of the $children of $noun $id with $cstate_p '$C1', create a task for the $owner_p titled with "
            "the $label_p. "
            "After that, if at least one task was created, set the $state_p of the $noun to '$S1'; if none was, write "
            "'$w1' to "
            "the log.",
            "Every $child of $noun $id whose $cstate_p is '$C1' needs a task for the $owner_p, with its $label_p as "
            "the title. Once "
            "all are created the $noun gets the $state_p '$S1'. With nothing to create, only log '$w1'.",
        ),
        oracle="""
record = $get($key='$id')
count = 0
for part in record['$children']:
    if part['$cstate'] == '$C1':
        $task(assignee=record['$owner'], title=part['$label'])
        count += 1
if count > 0:
    $set($key='$id', $state='$S1')
else:
    $log(text='$w1')
""",
        fields=("$get.$owner", "$get.$children.*.$cstate", "$get.$children.*.$label"),
    ),
)
