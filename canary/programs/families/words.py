"""Words that cases are made of."""

WORDS = (
    *("alert", "amber", "basil", "cedar", "copper", "coral", "delta", "ember", "falcon", "garnet"),
    *("harbor", "indigo", "ivory", "jasper", "juniper", "lantern", "lotus", "maple", "meadow", "nectar"),
    *("onyx", "opal", "pebble", "quartz", "raven", "saffron", "sierra", "tundra", "umber", "velvet"),
    *("willow", "zephyr"),
)
"""Without a meaning to the task: what is logged, posted or returned."""

TEMPLATES = (
    *("late", "ready", "review", "promo", "reminder", "welcome", "followup", "thanks", "notice", "update"),
    *("survey", "escalation"),
)
"""Names of message templates."""

FIRST_NAMES = (
    *("Ada", "Bo", "Cleo", "Dag", "Edda", "Finn", "Gro", "Hugo", "Ines", "Jon", "Kaja", "Leo", "Mia"),
    *("Nils", "Olga", "Per"),
)

LAST_NAMES = (
    *("Aas", "Berg", "Dahl", "Eide", "Foss", "Gran", "Haug", "Lie", "Moe", "Nes", "Ruud", "Sand", "Vik"),
    *("Wold"),
)

CITIES = (*("Bergen", "Graz", "Leiden", "Malmo", "Porto"),)
"""Few, so that two people often live in one."""

TEXTS = (*("anchor", "bridge", "castle", "dome", "field", "garden", "hall", "island"),)
"""Values of fields that hold a text."""
